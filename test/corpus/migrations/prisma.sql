-- migration: 20240101000000_init
-- CreateSchema
CREATE SCHEMA IF NOT EXISTS "app";

-- CreateEnum
CREATE TYPE "app"."Role" AS ENUM ('USER', 'ADMIN');

-- CreateTable
CREATE TABLE "app"."User" (
    "id" SERIAL NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "email" TEXT NOT NULL,
    "name" TEXT,
    "role" "app"."Role" NOT NULL DEFAULT 'USER',
    "balance" DECIMAL(65,30) NOT NULL DEFAULT 0,
    "data" JSONB,
    "tags" TEXT[] DEFAULT ARRAY[]::TEXT[],
    "uid" UUID NOT NULL DEFAULT gen_random_uuid(),

    CONSTRAINT "User_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "app"."Post" (
    "id" SERIAL NOT NULL,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    "title" VARCHAR(255) NOT NULL,
    "published" BOOLEAN NOT NULL DEFAULT false,
    "authorId" INTEGER,

    CONSTRAINT "Post_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "app"."_CategoryToPost" (
    "A" INTEGER NOT NULL,
    "B" INTEGER NOT NULL
);

-- CreateIndex
CREATE UNIQUE INDEX "User_email_key" ON "app"."User"("email");

-- CreateIndex
CREATE INDEX "Post_title_idx" ON "app"."Post"("title" DESC);

-- CreateIndex
CREATE UNIQUE INDEX "_CategoryToPost_AB_unique" ON "app"."_CategoryToPost"("A", "B");

-- AddForeignKey
ALTER TABLE "app"."Post" ADD CONSTRAINT "Post_authorId_fkey" FOREIGN KEY ("authorId") REFERENCES "app"."User"("id") ON DELETE SET NULL ON UPDATE CASCADE;
-- migration: 20240201000000_enum
-- AlterEnum
-- This migration adds more than one value to an enum.
-- With PostgreSQL versions 11 and earlier, this is not possible in a single migration.
BEGIN;
CREATE TYPE "app"."Role_new" AS ENUM ('USER', 'EDITOR', 'ADMIN');
ALTER TABLE "app"."User" ALTER COLUMN "role" DROP DEFAULT;
ALTER TABLE "app"."User" ALTER COLUMN "role" TYPE "app"."Role_new" USING ("role"::text::"app"."Role_new");
ALTER TYPE "app"."Role" RENAME TO "Role_old";
ALTER TYPE "app"."Role_new" RENAME TO "Role";
DROP TYPE "app"."Role_old";
ALTER TABLE "app"."User" ALTER COLUMN "role" SET DEFAULT 'USER';
COMMIT;
-- migration: 20240301000000_redefine
/*
  Warnings:
  - You are about to drop the column `balance` on the `User` table.
*/
-- DropIndex
DROP INDEX "app"."Post_title_idx";

-- AlterTable
ALTER TABLE "app"."User" DROP COLUMN "balance",
ADD COLUMN     "verified" TIMESTAMP(3),
ALTER COLUMN "name" SET NOT NULL;

-- AlterTable
CREATE SEQUENCE "app".post_updatedat_seq;
ALTER TABLE "app"."Post" ADD COLUMN "rank" INTEGER NOT NULL DEFAULT nextval('app.post_updatedat_seq');
ALTER SEQUENCE "app".post_updatedat_seq OWNED BY "app"."Post"."rank";

-- RenameForeignKey
ALTER TABLE "app"."Post" RENAME CONSTRAINT "Post_authorId_fkey" TO "Post_author_fkey";

-- RenameIndex
ALTER INDEX "app"."User_email_key" RENAME TO "User_email_unique";

-- AlterTable
ALTER TABLE "app"."_CategoryToPost" ADD CONSTRAINT "_CategoryToPost_AB_pkey" PRIMARY KEY ("A", "B");
-- migration: bookkeeping
CREATE TABLE app._prisma_migrations (
    id                      VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum                VARCHAR(64) NOT NULL,
    finished_at             TIMESTAMPTZ,
    migration_name          VARCHAR(255) NOT NULL,
    logs                    TEXT,
    rolled_back_at          TIMESTAMPTZ,
    started_at              TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count     INTEGER NOT NULL DEFAULT 0
);
SELECT pg_advisory_lock(72707369);
INSERT INTO app._prisma_migrations (id, checksum, migration_name) VALUES ('a', 'b', 'c');
UPDATE app._prisma_migrations SET finished_at = now(), applied_steps_count = applied_steps_count + 1 WHERE id = 'a';
SELECT pg_advisory_unlock(72707369);
