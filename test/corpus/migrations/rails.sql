-- migration: structure.sql
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: app; Type: SCHEMA; Schema: -; Owner: -
--

--
-- Name: pgcrypto; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA public;


--
-- Name: EXTENSION pgcrypto; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON EXTENSION pgcrypto IS 'cryptographic functions';

SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE app.ar_internal_metadata (
    key character varying NOT NULL,
    value character varying,
    created_at timestamp(6) without time zone NOT NULL,
    updated_at timestamp(6) without time zone NOT NULL
);

CREATE TABLE app.users (
    id bigint NOT NULL,
    email character varying DEFAULT ''::character varying NOT NULL,
    encrypted_password character varying DEFAULT ''::character varying NOT NULL,
    uuid uuid DEFAULT public.gen_random_uuid() NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb,
    created_at timestamp(6) without time zone NOT NULL
);

CREATE SEQUENCE app.users_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE app.users_id_seq OWNED BY app.users.id;

CREATE TABLE app.schema_migrations (
    version character varying NOT NULL
);

CREATE TYPE app.status AS ENUM (
    'active',
    'archived'
);

CREATE FUNCTION app.logidze() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  RETURN NEW;
END;
$$;

CREATE VIEW app.user_names AS
 SELECT users.id,
    users.email
   FROM app.users;

ALTER TABLE ONLY app.users ALTER COLUMN id SET DEFAULT nextval('app.users_id_seq'::regclass);

ALTER TABLE ONLY app.ar_internal_metadata
    ADD CONSTRAINT ar_internal_metadata_pkey PRIMARY KEY (key);

ALTER TABLE ONLY app.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);

ALTER TABLE ONLY app.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

CREATE UNIQUE INDEX index_users_on_email ON app.users USING btree (email);

CREATE INDEX index_users_on_lower ON app.users USING btree (lower((email)::text) varchar_pattern_ops);

CREATE TRIGGER logidze BEFORE INSERT OR UPDATE ON app.users FOR EACH ROW WHEN ((COALESCE(current_setting('logidze.disabled'::text, true), ''::text) <> 'on'::text)) EXECUTE FUNCTION app.logidze();

SET search_path TO app, public;

INSERT INTO "schema_migrations" (version) VALUES
('20240101000002'),
('20240101000001');
-- migration: active_record
SELECT pg_try_advisory_lock(2859260972035668690);
BEGIN;
CREATE TABLE "app"."articles" ("id" bigserial primary key, "title" character varying, "user_id" bigint, "price" decimal(10,2), "created_at" timestamp(6) NOT NULL, CONSTRAINT "fk_rails_1" FOREIGN KEY ("user_id") REFERENCES "app"."users" ("id"));
CREATE INDEX "index_articles_on_user_id" ON "app"."articles" ("user_id");
ALTER TABLE "app"."articles" ADD "slug" character varying;
ALTER TABLE "app"."articles" ALTER COLUMN "title" SET DEFAULT 'untitled';
UPDATE "app"."articles" SET "title"='x' WHERE "title" IS NULL;
ALTER TABLE "app"."articles" ALTER COLUMN "title" SET NOT NULL;
ALTER TABLE "app"."articles" ADD CONSTRAINT price_check CHECK (price > 0) NOT VALID;
ALTER TABLE "app"."articles" VALIDATE CONSTRAINT price_check;
ALTER TABLE "app"."articles" RENAME COLUMN "slug" TO "permalink";
COMMENT ON COLUMN "app"."articles"."permalink" IS 'x';
ALTER TABLE "app"."articles" RENAME TO "posts";
ALTER TABLE "app"."articles_id_seq" RENAME TO "posts_id_seq";
ALTER INDEX "app"."articles_pkey" RENAME TO "posts_pkey";
ALTER INDEX "app"."index_articles_on_user_id" RENAME TO "index_posts_on_user_id";
ALTER TABLE "app"."posts" DISABLE TRIGGER USER;
ALTER TABLE "app"."posts" ENABLE TRIGGER USER;
INSERT INTO "app"."schema_migrations" ("version") VALUES ('20240101000003') RETURNING "version";
COMMIT;
SELECT pg_advisory_unlock(2859260972035668690);
-- migration: concurrently
CREATE INDEX CONCURRENTLY "index_posts_on_title" ON "app"."posts" ("title");
-- migration: drop concurrently
DROP INDEX CONCURRENTLY "app"."index_posts_on_title";
-- migration: pg_referential
SET CONSTRAINTS ALL DEFERRED;
ALTER TABLE app.posts DROP CONSTRAINT IF EXISTS fk_rails_1;
ALTER TABLE app.posts ADD CONSTRAINT fk_rails_1 FOREIGN KEY (user_id) REFERENCES app.users(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE app.posts ALTER CONSTRAINT fk_rails_1 NOT DEFERRABLE;
ALTER TYPE app.status ADD VALUE IF NOT EXISTS 'deleted' AFTER 'archived';
ALTER TYPE app.status RENAME VALUE 'active' TO 'live';
