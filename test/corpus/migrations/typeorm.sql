-- migration: init
START TRANSACTION;
CREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA public;
CREATE TABLE "app"."migrations" ("id" SERIAL NOT NULL, "timestamp" bigint NOT NULL, "name" character varying NOT NULL, CONSTRAINT "PK_8c82d7f526340ab734260ea46be" PRIMARY KEY ("id"));
CREATE TYPE "app"."user_role_enum" AS ENUM('admin', 'editor', 'ghost');
CREATE TABLE "app"."user" ("id" uuid NOT NULL DEFAULT public.uuid_generate_v4(), "firstName" character varying NOT NULL, "role" "app"."user_role_enum" NOT NULL DEFAULT 'ghost', "isActive" boolean NOT NULL DEFAULT true, "names" text array NOT NULL DEFAULT '{}', "version" integer NOT NULL, "deletedAt" TIMESTAMP, CONSTRAINT "PK_cace" PRIMARY KEY ("id"));
CREATE TABLE "app"."typeorm_metadata" ("type" varchar(255) NOT NULL, "database" varchar(255) DEFAULT NULL, "schema" varchar(255) DEFAULT NULL, "table" varchar(255) DEFAULT NULL, "name" varchar(255) DEFAULT NULL, "value" text);
INSERT INTO "app"."migrations"("timestamp", "name") VALUES (1, 'Init1');
COMMIT;
-- migration: enum
ALTER TYPE "app"."user_role_enum" RENAME TO "user_role_enum_old";
CREATE TYPE "app"."user_role_enum" AS ENUM('admin', 'editor', 'ghost', 'owner');
ALTER TABLE "app"."user" ALTER COLUMN "role" DROP DEFAULT;
ALTER TABLE "app"."user" ALTER COLUMN "role" TYPE "app"."user_role_enum" USING "role"::"text"::"app"."user_role_enum";
ALTER TABLE "app"."user" ALTER COLUMN "role" SET DEFAULT 'ghost';
DROP TYPE "app"."user_role_enum_old";
-- migration: view
CREATE VIEW "app"."user_view" AS SELECT "user"."id" AS "id", "user"."firstName" AS "name" FROM "app"."user" "user";
INSERT INTO "app"."typeorm_metadata"("database", "schema", "table", "type", "name", "value") VALUES (DEFAULT, 'app', DEFAULT, 'VIEW', 'user_view', 'SELECT');
DROP VIEW "app"."user_view";
CREATE INDEX "IDX_x" ON "app"."user" ("firstName", "isActive") INCLUDE ("version") WHERE "deletedAt" IS NULL;
ALTER TABLE "app"."user" ADD CONSTRAINT "CHK_v" CHECK ("version" > 0);
ALTER TABLE "app"."user" ADD CONSTRAINT "UQ_n" UNIQUE NULLS NOT DISTINCT ("firstName");
CREATE TABLE "app"."closure" ("a" uuid NOT NULL, "b" uuid NOT NULL, PRIMARY KEY ("a", "b"), CONSTRAINT "FK_a" FOREIGN KEY ("a") REFERENCES "app"."user"("id") ON DELETE CASCADE ON UPDATE NO ACTION);
