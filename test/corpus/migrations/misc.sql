-- migration: schema with elements
CREATE SCHEMA made CREATE TABLE t (id int PRIMARY KEY, n text) CREATE VIEW v AS SELECT id FROM t CREATE INDEX t_n ON t (n) CREATE SEQUENCE s GRANT SELECT ON t TO PUBLIC;
-- migration: schema authorization
CREATE SCHEMA AUTHORIZATION CURRENT_USER;
CREATE SCHEMA IF NOT EXISTS mine AUTHORIZATION gateway;
DROP SCHEMA mine;
-- migration: set schema
CREATE TABLE public.moving (id int);
ALTER TABLE public.moving SET SCHEMA app;
CREATE TYPE public.color AS ENUM ('red');
ALTER TYPE public.color SET SCHEMA app;
CREATE FUNCTION public.fmove(a int) RETURNS int LANGUAGE sql AS 'select a';
ALTER FUNCTION public.fmove(int) SET SCHEMA app;
CREATE SEQUENCE public.seqmove;
ALTER SEQUENCE public.seqmove SET SCHEMA app;
CREATE DOMAIN public.dommove AS text;
ALTER DOMAIN public.dommove SET SCHEMA app;
CREATE COLLATION public.collmove (provider = icu, locale = 'fr');
ALTER COLLATION public.collmove SET SCHEMA app;
-- migration: composite types
CREATE TYPE app.comp AS (a int, b text);
ALTER TYPE app.comp ADD ATTRIBUTE c date, ALTER ATTRIBUTE b TYPE varchar(20), DROP ATTRIBUTE a;
ALTER TYPE app.comp RENAME ATTRIBUTE c TO d CASCADE;
CREATE TYPE app.comp2 AS (d date);
ALTER TYPE app.comp2 OWNER TO CURRENT_USER;
COMMENT ON TYPE app.comp2 IS 'x';
DROP TYPE app.comp2;
-- migration: do first in many
DO $$ BEGIN RAISE NOTICE 'hello'; END $$;
CREATE TABLE app.after_do (id int);
INSERT INTO app.after_do VALUES (1);
SELECT id FROM app.after_do;
-- migration: temp
CREATE TEMP TABLE staging (id int, v text) ON COMMIT DROP;
-- migration: maintenance
CREATE TABLE app.maint (id int PRIMARY KEY, v text);
ANALYZE app.maint;
CLUSTER app.maint USING maint_pkey;
REINDEX TABLE app.maint;
REINDEX INDEX app.maint_pkey;
LOCK TABLE app.maint IN ACCESS EXCLUSIVE MODE;
TRUNCATE app.maint RESTART IDENTITY;
-- migration: triggers
CREATE FUNCTION app.tg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER ct AFTER INSERT ON app.maint DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.tg();
ALTER TRIGGER ct ON app.maint RENAME TO ct2;
ALTER TABLE app.maint ENABLE REPLICA TRIGGER ct2;
ALTER TABLE app.maint ENABLE ALWAYS TRIGGER ct2;
DROP TRIGGER ct2 ON app.maint;
-- migration: rules
CREATE VIEW app.mv AS SELECT id, v FROM app.maint;
CREATE OR REPLACE RULE mv_ins AS ON INSERT TO app.mv DO INSTEAD INSERT INTO app.maint (id, v) VALUES (NEW.id, NEW.v);
CREATE OR REPLACE RULE maint_log AS ON UPDATE TO app.maint WHERE OLD.v IS DISTINCT FROM NEW.v DO ALSO INSERT INTO app.maint (id, v) VALUES (OLD.id + 1000, OLD.v);
ALTER RULE mv_ins ON app.mv RENAME TO mv_insert;
ALTER TABLE app.maint DISABLE RULE maint_log;
ALTER TABLE app.maint ENABLE RULE maint_log;
DROP RULE mv_insert ON app.mv;
-- migration: owner of table
ALTER TABLE app.maint OWNER TO CURRENT_USER;
ALTER TABLE app.maint OWNER TO SESSION_USER;
ALTER TABLE IF EXISTS app.maint OWNER TO gateway;
ALTER SCHEMA app OWNER TO gateway;
