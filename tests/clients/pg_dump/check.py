"""pg_dump and pg_restore against the server: a schema and its data go out and come back the same."""

import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from checks import DATABASE, HOST, PASSWORD, PORT, USER, Checks, past_instant, same, that

checks = Checks("pg_dump")
ENV = {**os.environ, "PGHOST": HOST, "PGPORT": str(PORT), "PGUSER": USER, "PGPASSWORD": PASSWORD}
OTHER = "pd_restored"


def run(*command, text=None, status=0):
    done = subprocess.run(command, input=text, env=ENV, capture_output=True, text=True, timeout=60)
    if status is not None and done.returncode != status:
        raise AssertionError(f"{command[0]} ended with {done.returncode}: {done.stderr[-600:]}")
    return done.stdout


def psql(database, text):
    return run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, text=text)


SCHEMA = """
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS pd CASCADE; CREATE SCHEMA pd; SET search_path = pd;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE parent (id serial PRIMARY KEY, code varchar(10) NOT NULL UNIQUE, price numeric(10,2) DEFAULT 1.5 CHECK (price >= 0), mood mood, tags text[], data jsonb, at timestamptz, b bytea, f float8, d date);
CREATE TABLE child (a int, b int, parent int REFERENCES parent (id) ON DELETE CASCADE, note text, PRIMARY KEY (a, b));
CREATE TABLE ident (id int GENERATED ALWAYS AS IDENTITY, v text);
CREATE INDEX child_parent ON child (parent);
CREATE VIEW cheap AS SELECT id, code FROM parent WHERE price < 5;
CREATE SEQUENCE free START 5 INCREMENT 2;
COMMENT ON TABLE parent IS 'a parent';
INSERT INTO parent (code, mood, tags, data, at, b, f, d) VALUES ('a', 'sad', '{x,NULL,"q\\"r"}', '{"k": [1, null]}', '2024-01-02 03:04:05.678+00', '\\x00ff', 0.1, '2024-02-29'), (E'b\\t\\\\', NULL, NULL, NULL, NULL, NULL, 'NaN', NULL);
INSERT INTO child VALUES (1, 1, 1, E'line\\nline'), (1, 2, 2, '');
INSERT INTO ident (v) VALUES ('x'), ('y');
SELECT nextval('free'), nextval('free');
"""
CONTENT = """
SELECT * FROM pd.parent ORDER BY id; SELECT * FROM pd.child ORDER BY a, b; SELECT * FROM pd.ident ORDER BY id; SELECT * FROM pd.cheap ORDER BY id;
SELECT last_value, is_called FROM pd.free; SELECT last_value FROM pd.parent_id_seq; SELECT obj_description('pd.parent'::regclass);
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'pd'::regnamespace ORDER BY 1;
SELECT indexdef FROM pg_indexes WHERE schemaname = 'pd' ORDER BY 1;
"""


def content(database):
    return psql(database, CONTENT)


def other():
    """An empty database to restore into."""
    psql(DATABASE, f"SET client_min_messages = warning; DROP DATABASE IF EXISTS {OTHER};")
    psql(DATABASE, f"CREATE DATABASE {OTHER};")
    return OTHER


@checks.check
def schema_is_made():
    psql(DATABASE, SCHEMA)
    that("a parent" in content(DATABASE), "no content")


@checks.check
def dump_of_the_schema_only():
    text = run("pg_dump", "-s", "-n", "pd", DATABASE)
    for line in ("CREATE TYPE pd.mood AS ENUM", "CREATE TABLE pd.parent (", "code character varying(10) NOT NULL", "CREATE VIEW pd.cheap AS", "CREATE SEQUENCE pd.free",
                 "ADD CONSTRAINT parent_pkey PRIMARY KEY (id)", "ADD CONSTRAINT child_parent_fkey FOREIGN KEY (parent) REFERENCES pd.parent(id) ON DELETE CASCADE",
                 "CREATE INDEX child_parent ON pd.child USING btree (parent)", "COMMENT ON TABLE pd.parent IS 'a parent'", "ADD GENERATED ALWAYS AS IDENTITY"):
        that(line in text, f"{line!r} is not in the dump")


@checks.check
def plain_dump_restored_by_psql():
    text = run("pg_dump", "-n", "pd", DATABASE)
    psql(other(), text)
    same(content(OTHER), content(DATABASE))


@checks.check
def custom_dump_restored_by_pg_restore():
    with tempfile.TemporaryDirectory() as folder:
        run("pg_dump", "-Fc", "-n", "pd", "-f", f"{folder}/d", DATABASE)
        that("TABLE DATA pd parent" in run("pg_restore", "-l", f"{folder}/d"), "no list")
        run("pg_restore", "-d", other(), "--exit-on-error", f"{folder}/d")
    same(content(OTHER), content(DATABASE))


@checks.check
def directory_dump_in_parallel():
    with tempfile.TemporaryDirectory() as folder:
        run("pg_dump", "-Fd", "-j", "2", "-n", "pd", "-f", f"{folder}/d", DATABASE)
        run("pg_restore", "-j", "2", "-d", other(), "--exit-on-error", f"{folder}/d")
    same(content(OTHER), content(DATABASE))


@checks.check
def restore_cleans_first():
    with tempfile.TemporaryDirectory() as folder:
        run("pg_dump", "-Fc", "-n", "pd", "-f", f"{folder}/d", DATABASE)
        run("pg_restore", "-d", other(), "--exit-on-error", f"{folder}/d")
        run("pg_restore", "-d", OTHER, "--clean", "--if-exists", "--exit-on-error", f"{folder}/d")
    same(content(OTHER), content(DATABASE))


@checks.check
def restore_in_one_transaction():
    with tempfile.TemporaryDirectory() as folder:
        run("pg_dump", "-Fc", "-n", "pd", "-f", f"{folder}/d", DATABASE)
        run("pg_restore", "-d", other(), "--single-transaction", f"{folder}/d")
    same(content(OTHER), content(DATABASE))


@checks.check
def data_only_as_inserts():
    text = run("pg_dump", "-a", "--inserts", "--column-inserts", "-t", "pd.child", DATABASE)
    that("INSERT INTO pd.child (a, b, parent, note) VALUES (1, 1, 1, 'line\nline');" in text, text[-500:])


@checks.check
def one_table():
    text = run("pg_dump", "-t", "pd.ident", DATABASE)
    that("COPY pd.ident (id, v) FROM stdin;\n1\tx\n2\ty\n\\." in text, text[-800:])


@checks.check
def whole_database():
    that("PostgreSQL database dump complete" in run("pg_dump", DATABASE), "not complete")


@checks.check
def globals_of_the_cluster():
    that(f"CREATE ROLE {USER}" in run("pg_dumpall", "-g", "-l", DATABASE), "no role")


@checks.check
def isready():
    run("pg_isready", "-d", DATABASE)


@checks.check
def createdb_and_dropdb():
    run("dropdb", "--if-exists", "pd_made")
    run("createdb", "pd_made")
    that("pd_made" in psql(DATABASE, "SELECT datname FROM pg_database"), "not there")
    run("dropdb", "pd_made")


@checks.check
def createuser_and_dropuser():
    run("dropuser", "--if-exists", "pd_user")
    run("createuser", "--no-superuser", "pd_user")
    run("dropuser", "pd_user")


@checks.check
def vacuumdb_and_reindexdb():
    run("vacuumdb", "--analyze", "-t", "pd.parent", DATABASE)
    run("reindexdb", "-t", "pd.parent", DATABASE)


@checks.travel
def dump_of_the_past():
    psql(DATABASE, "DROP TABLE IF EXISTS pd_past; CREATE TABLE pd_past (id int primary key, v text); INSERT INTO pd_past VALUES (1, 'old');")
    at = past_instant()
    psql(DATABASE, "UPDATE pd_past SET v = 'new';")
    for database, options in ((f"{DATABASE}@{at}", ""), (DATABASE, f"-c chronogate.as_of={at}")):
        ENV["PGOPTIONS"] = options
        try:
            that("\n1\told\n" in run("pg_dump", "-a", "-t", "pd_past", database), "not the past")
        finally:
            ENV["PGOPTIONS"] = ""


checks.main()
