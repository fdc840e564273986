-- migration: offline
BEGIN;

CREATE TABLE app.alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 1975ea83b712

CREATE TYPE app.kind AS ENUM ('a', 'b');

CREATE TABLE app.things (
    id SERIAL NOT NULL,
    kind app.kind,
    name VARCHAR(50) NOT NULL,
    meta JSON,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_things PRIMARY KEY (id),
    CONSTRAINT ck_name CHECK (name <> '')
);

CREATE INDEX ix_things_name ON app.things USING btree (lower(name));

INSERT INTO app.alembic_version (version_num) VALUES ('1975ea83b712') RETURNING app.alembic_version.version_num;

-- Running upgrade 1975ea83b712 -> ae1027a6acf

ALTER TABLE app.things ADD COLUMN last_transaction_date TIMESTAMP WITHOUT TIME ZONE;

ALTER TABLE app.things ALTER COLUMN meta TYPE JSONB USING meta::jsonb;

COMMENT ON COLUMN app.things.meta IS 'm';

UPDATE app.things SET name=upper(name) WHERE app.things.kind = 'a';

UPDATE app.alembic_version SET version_num='ae1027a6acf' WHERE app.alembic_version.version_num = '1975ea83b712';

COMMIT;
-- migration: do
DO $$
BEGIN
    CREATE TYPE app.level AS ENUM ('low', 'high');
EXCEPTION
    WHEN duplicate_object THEN null;
END $$;

ALTER TABLE app.things ADD COLUMN level app.level;

UPDATE app.alembic_version SET version_num='b';
-- migration: rls
ALTER TABLE app.things ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.things FORCE ROW LEVEL SECURITY;
CREATE POLICY things_kind ON app.things FOR SELECT USING (kind = 'a');
CREATE POLICY things_all ON app.things AS PERMISSIVE FOR ALL TO PUBLIC USING (true) WITH CHECK (true);
ALTER POLICY things_kind ON app.things RENAME TO things_k;
ALTER POLICY things_k ON app.things USING (kind IS NOT NULL);
COMMENT ON POLICY things_k ON app.things IS 'x';
DROP POLICY things_k ON app.things;
DROP POLICY IF EXISTS things_all ON app.things;
ALTER TABLE app.things NO FORCE ROW LEVEL SECURITY;
ALTER TABLE app.things DISABLE ROW LEVEL SECURITY;
