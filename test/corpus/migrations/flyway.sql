-- migration: V1__baseline
SET search_path TO app, public;
CREATE TABLE IF NOT EXISTS flyway_schema_history (
    installed_rank INT NOT NULL,
    version VARCHAR(50),
    description VARCHAR(200) NOT NULL,
    type VARCHAR(20) NOT NULL,
    script VARCHAR(1000) NOT NULL,
    checksum INTEGER,
    installed_by VARCHAR(100) NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT now(),
    execution_time INTEGER NOT NULL,
    success BOOLEAN NOT NULL
);
ALTER TABLE flyway_schema_history ADD CONSTRAINT flyway_schema_history_pk PRIMARY KEY (installed_rank);
CREATE INDEX flyway_schema_history_s_idx ON flyway_schema_history (success);
LOCK TABLE flyway_schema_history IN SHARE UPDATE EXCLUSIVE MODE;
INSERT INTO flyway_schema_history VALUES (1, '1', '<< Flyway Baseline >>', 'BASELINE', 'x', NULL, current_user, now(), 0, true);
RESET search_path;
-- migration: V2__accounts
CREATE TABLE app.account (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CHECK (length(name) > 0),
    kind text NOT NULL DEFAULT 'basic',
    amount numeric(12,2) NOT NULL DEFAULT 0,
    full_name text GENERATED ALWAYS AS (name || ' ' || kind) STORED,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (name)
);
COMMENT ON TABLE app.account IS 'Accounts';
COMMENT ON COLUMN app.account.kind IS 'Kind';
COMMENT ON CONSTRAINT account_name_key ON app.account IS 'once';
COMMENT ON INDEX app.account_pkey IS 'key';
CREATE OR REPLACE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.created_at := clock_timestamp();
  RETURN NEW;
END;
$$;
COMMENT ON FUNCTION app.touch() IS 'touches';
CREATE TRIGGER account_touch BEFORE UPDATE ON app.account FOR EACH ROW EXECUTE FUNCTION app.touch();
COMMENT ON TRIGGER account_touch ON app.account IS 'x';
INSERT INTO app.account (name) VALUES ('a'), ('b');
UPDATE app.account SET amount = 1 WHERE name = 'a';
-- migration: V3__do_block
DO $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_type WHERE typname = 'account_state') THEN
    CREATE TYPE app.account_state AS ENUM ('new', 'open', 'closed');
  END IF;
END
$$;
ALTER TABLE app.account ADD COLUMN state app.account_state NOT NULL DEFAULT 'new';
DO $$ BEGIN
  ALTER TABLE app.account ADD CONSTRAINT amount_positive CHECK (amount >= 0);
EXCEPTION WHEN duplicate_object THEN NULL;
END $$;
CREATE INDEX account_state ON app.account (state) WHERE state <> 'closed';
-- migration: V4__do_backfill
DO $body$
DECLARE r record;
BEGIN
  FOR r IN SELECT id FROM app.account LOOP
    UPDATE app.account SET amount = amount + 1 WHERE id = r.id;
  END LOOP;
  RAISE NOTICE 'backfilled % rows', (select count(*) from app.account);
END
$body$;
UPDATE app.account SET kind = 'basic' WHERE kind IS NULL;
-- migration: R__views
CREATE OR REPLACE VIEW app.open_accounts AS SELECT id, name, amount FROM app.account WHERE state = 'open';
CREATE OR REPLACE VIEW app.editable WITH (security_barrier) AS SELECT id, name, kind FROM app.account WHERE kind = 'basic' WITH CASCADED CHECK OPTION;
DROP MATERIALIZED VIEW IF EXISTS app.totals;
CREATE MATERIALIZED VIEW app.totals AS SELECT kind, sum(amount) AS amount FROM app.account GROUP BY kind WITH NO DATA;
CREATE UNIQUE INDEX totals_kind ON app.totals (kind);
REFRESH MATERIALIZED VIEW app.totals;
GRANT SELECT ON app.open_accounts TO PUBLIC;
GRANT USAGE ON SCHEMA app TO PUBLIC;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA app TO PUBLIC;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA app TO PUBLIC;
GRANT EXECUTE ON FUNCTION app.touch() TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO PUBLIC;
-- migration: V5__partition
CREATE TABLE app.metric (at timestamptz NOT NULL, name text NOT NULL, value double precision) PARTITION BY RANGE (at);
CREATE TABLE app.metric_2023 PARTITION OF app.metric FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE app.metric_2024 (LIKE app.metric INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
ALTER TABLE app.metric ATTACH PARTITION app.metric_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE app.metric_rest PARTITION OF app.metric DEFAULT;
CREATE INDEX ON app.metric USING brin (at);
INSERT INTO app.metric VALUES ('2023-05-05', 'x', 1), ('2024-05-05', 'y', 2), ('2029-01-01', 'z', 3);
ALTER TABLE app.metric DETACH PARTITION app.metric_2023;
DROP TABLE app.metric_2023;
-- migration: V6__routines
CREATE OR REPLACE FUNCTION app.total(p_kind text DEFAULT 'basic') RETURNS numeric LANGUAGE sql STABLE AS $f$ SELECT coalesce(sum(amount), 0) FROM app.account WHERE kind = p_kind $f$;
CREATE OR REPLACE PROCEDURE app.archive(p_days int) LANGUAGE plpgsql AS $p$ BEGIN DELETE FROM app.account WHERE created_at < now() - make_interval(days => p_days); COMMIT; END $p$;
ALTER FUNCTION app.total(text) STABLE PARALLEL SAFE;
ALTER FUNCTION app.total(text) OWNER TO CURRENT_USER;
REVOKE ALL ON FUNCTION app.total(text) FROM PUBLIC;
COMMENT ON PROCEDURE app.archive(int) IS 'x';
SELECT app.total();
SELECT app.total('basic') AS t;
DROP PROCEDURE app.archive(int);
