"""psql against the server: every backslash command that lists things, and those that run, format and copy."""

import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from checks import DATABASE, HOST, PASSWORD, PORT, USER, Checks, past_instant, same, that

checks = Checks("psql")


def psql(text, *arguments, database=DATABASE, status=0, **environment):
    """Standard output of psql that was given `text`, with standard error after it; any failure of a statement ends it."""
    command = ["psql", "-X", "-v", "ON_ERROR_STOP=1", "-h", HOST, "-p", str(PORT), "-U", USER, "-d", database, *arguments]
    env = {**os.environ, "PGPASSWORD": PASSWORD, "PGOPTIONS": "", "PAGER": "cat", "LC_ALL": "C.UTF-8", **environment}
    done = subprocess.run(command, input=text, env=env, capture_output=True, text=True, timeout=25)
    if status is not None and done.returncode != status:
        raise AssertionError(f"psql ended with {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout + done.stderr


def says(text, *fragments, **more):
    out = psql(text, **more)
    squeezed = "\n".join(" ".join(line.split()) for line in out.split("\n"))
    for fragment in fragments:
        that(" ".join(fragment.split()) in squeezed, f"{fragment!r} is not in {out!r}")


SCHEMA = """
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS ps CASCADE;
DROP VIEW IF EXISTS ps_view; DROP TABLE IF EXISTS ps_child; DROP TABLE IF EXISTS ps_parent; DROP TYPE IF EXISTS ps_mood; DROP DOMAIN IF EXISTS ps_posint; DROP SEQUENCE IF EXISTS ps_free;
CREATE SCHEMA ps;
CREATE TYPE ps_mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN ps_posint AS int CHECK (VALUE > 0);
CREATE TABLE ps_parent (
    id serial PRIMARY KEY, code varchar(10) NOT NULL CONSTRAINT ps_code UNIQUE, price numeric(10,2) DEFAULT 1.5 CONSTRAINT ps_price CHECK (price >= 0), mood ps_mood,
    gid int GENERATED ALWAYS AS IDENTITY, twice numeric GENERATED ALWAYS AS (price * 2) STORED, at timestamptz DEFAULT now()
);
CREATE TABLE ps_child (a int, b int, parent int CONSTRAINT ps_fk REFERENCES ps_parent (id) ON DELETE CASCADE, PRIMARY KEY (a, b));
CREATE INDEX ps_ix ON ps_child (parent DESC, a);
CREATE VIEW ps_view AS SELECT id, code FROM ps_parent WHERE price > 0;
CREATE SEQUENCE ps_free START 5 INCREMENT 2;
COMMENT ON TABLE ps_parent IS 'a parent';
COMMENT ON COLUMN ps_parent.code IS 'its code';
INSERT INTO ps_parent (code) VALUES ('a'), ('b');
INSERT INTO ps_child VALUES (1, 1, 1), (1, 2, 2);
"""
made = False


def schema():
    global made
    if not made:
        # What cannot be made leaves the checks of everything else alone.
        psql(SCHEMA, "-v", "ON_ERROR_STOP=0", status=None)
        made = True


def lists(name, command, *fragments):
    """A check that `command` prints these fragments, whatever white space is between their words."""

    def check():
        schema()
        says(command, *fragments)

    check.__name__ = name
    checks.check(check)


@checks.check
def makes_the_schema():
    psql(SCHEMA)


@checks.check
def connects_with_a_uri():
    uri = f"postgresql://{USER}@{HOST}:{PORT}/{DATABASE}?application_name=ps_uri&options=-c%20statement_timeout%3D5s"
    says("SELECT current_setting('application_name') || current_setting('statement_timeout');", "ps_uri5s", database=uri)


@checks.check
def conninfo():
    says("\\conninfo", f'You are connected to database "{DATABASE}" as user "{USER}" on host "{HOST}"')


@checks.check
def single_command_and_tuples_only():
    same(psql("", "-Atc", "SELECT 1, 'x', NULL"), "1|x|\n")


@checks.check
def reads_a_file_with_include():
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/inner.sql", "w") as file:
            file.write("SELECT 'inner' AS where_from;\n")
        says(f"\\i {folder}/inner.sql", "inner")


@checks.check
def one_transaction_for_a_file():
    psql("DROP TABLE IF EXISTS ps_single; CREATE TABLE ps_single (id int primary key);")
    psql("INSERT INTO ps_single VALUES (1); INSERT INTO ps_single VALUES (1);", "-1", status=3)
    same(psql("", "-Atc", "SELECT count(*) FROM ps_single"), "0\n")


lists("dt", "\\dt", "Schema | Name | Type | Owner", f"public | ps_child | table | {USER}", "public | ps_parent | table")
lists("dt_plus", "\\dt+ ps_parent", "public | ps_parent | table", "permanent", "a parent")
lists("dt_pattern", "\\dt public.ps_*", "ps_child", "ps_parent")
lists("d_table", "\\d ps_parent", 'Table "public.ps_parent"', "id | integer | | not null | nextval('ps_parent_id_seq'::regclass)", "code | character varying(10) | | not null |",
      "price | numeric(10,2) | | | 1.5", "mood | ps_mood |", "gid | integer | | not null | generated always as identity",
      "twice | numeric | | | generated always as (price * 2::numeric) stored", "at | timestamp with time zone | | | now()",
      "Indexes:", '"ps_parent_pkey" PRIMARY KEY, btree (id)', '"ps_code" UNIQUE CONSTRAINT, btree (code)', "Check constraints:", '"ps_price" CHECK (price >= 0::numeric)',
      "Referenced by:", 'TABLE "ps_child" CONSTRAINT "ps_fk" FOREIGN KEY (parent) REFERENCES ps_parent(id) ON DELETE CASCADE')
lists("d_plus_table", "\\d+ ps_parent", "Column | Type | Collation | Nullable | Default | Storage | Compression | Stats target | Description", "its code", "Access method: heap")
lists("d_foreign_key_table", "\\d ps_child", '"ps_child_pkey" PRIMARY KEY, btree (a, b)', '"ps_ix" btree (parent DESC, a)', '"ps_fk" FOREIGN KEY (parent) REFERENCES ps_parent(id) ON DELETE CASCADE')
lists("d_everything", "\\d", "public | ps_free | sequence", "public | ps_view | view", "public | ps_parent | table")
lists("d_view", "\\d+ ps_view", 'View "public.ps_view"', "id | integer |", "View definition:", "SELECT ps_parent.id,", "FROM ps_parent", "WHERE ps_parent.price > 0::numeric;")
lists("d_index", "\\d ps_ix", 'Index "public.ps_ix"', "parent | integer | yes | parent", "btree, for table \"public.ps_child\"")
lists("d_sequence", "\\d ps_free", 'Sequence "public.ps_free"', "bigint | 5 | 1 | 9223372036854775807 | 2 | no | 1")
lists("d_owned_sequence", "\\d ps_parent_id_seq", "Owned by: public.ps_parent.id")
lists("d_system_table", "\\d pg_class", 'Table "pg_catalog.pg_class"', "relname | name | | not null")
lists("di", "\\di ps_*", "public | ps_ix | index |", "ps_child", "public | ps_parent_pkey | index |")
lists("di_plus", "\\di+ ps_ix", "public | ps_ix | index |", "btree")
lists("ds", "\\ds ps_*", f"public | ps_free | sequence | {USER}", "ps_parent_id_seq")
lists("dv", "\\dv ps_*", f"public | ps_view | view | {USER}")
lists("dv_plus", "\\dv+ ps_view", "public | ps_view | view", "permanent")
lists("dm_is_empty", "\\dm ps_*", "Did not find any relation named \"ps_*\".")
lists("dn", "\\dn", "List of schemas", f"ps | {USER}", "public |")
lists("dn_plus", "\\dn+ p*", "Name | Owner | Access privileges | Description", "standard public schema")
lists("dT", "\\dT ps_*", "List of data types", "public | ps_mood |", "public | ps_posint |")
lists("dT_plus", "\\dT+ ps_mood", "sad +", "happy")
lists("dD", "\\dD", "List of domains", "public | ps_posint | integer |", "CHECK (VALUE > 0)")
lists("du", "\\du", "Role name | Attributes | Member of", f"{USER} | Superuser")
lists("dg_plus", "\\dg+", "Role name | Attributes | Member of | Description")
lists("l", "\\l", "List of databases", f"{DATABASE} |", "UTF8")
lists("l_plus", f"\\l+ {DATABASE}", "Size", "Tablespace", "pg_default")
lists("dp", "\\dp ps_parent", "Access privileges", "public | ps_parent | table |")
lists("z", "\\z ps_free", "public | ps_free | sequence |")
lists("ddp", "\\ddp", "Default access privileges")
lists("df", "\\df lower", "List of functions", "pg_catalog | lower | text | text | func")
lists("df_plus", "\\df+ pg_catalog.now", "now | timestamp with time zone", "stable")
lists("da", "\\da sum", "List of aggregate functions", "pg_catalog | sum | bigint | integer")
lists("do", "\\do ||", "List of operators", "pg_catalog | || | text | text | text")
lists("dC", "\\dC text", "List of casts")
lists("dc", "\\dc", "List of conversions")
lists("dO", "\\dO", "List of collations")
lists("dx", "\\dx", "List of installed extensions", "plpgsql | 1.0 | pg_catalog")
lists("dL", "\\dL", "List of languages", "plpgsql")
lists("db", "\\db", "List of tablespaces", "pg_default", "pg_global")
lists("dconfig", "\\dconfig work_mem", "List of configuration parameters", "work_mem | 4MB")
lists("dd", "\\dd nothing_here", "Object descriptions")
lists("dE", "\\dE ps_*", "Did not find any relation")
lists("des", "\\des", "List of foreign servers")
lists("dew", "\\dew", "List of foreign-data wrappers")
lists("deu", "\\deu", "List of user mappings")
lists("det", "\\det", "List of foreign tables")
lists("dF", "\\dF simple", "List of text search configurations", "pg_catalog | simple")
lists("dFd", "\\dFd simple", "List of text search dictionaries")
lists("dFp", "\\dFp", "List of text search parsers")
lists("dFt", "\\dFt", "List of text search templates")
lists("dA", "\\dA", "List of access methods", "btree | Index", "heap | Table")
lists("dAc", "\\dAc btree int*", "List of operator classes", "int4_ops")
lists("dAf", "\\dAf btree", "List of operator families", "integer_ops")
lists("dAo", "\\dAo btree float_ops", "List of operators of operator families")
lists("dAp", "\\dAp btree float_ops", "List of support functions of operator families")
lists("drds", "\\drds", "Did not find any settings.")
lists("dRp", "\\dRp", "List of publications")
lists("dRs", "\\dRs", "List of subscriptions")
lists("dX", "\\dX", "List of extended statistics")
lists("dy", "\\dy", "List of event triggers")
lists("dP", "\\dP", "List of partitioned relations")
lists("dl", "\\dl", "Large objects")
lists("sv", "\\sv ps_view", "CREATE OR REPLACE VIEW public.ps_view AS", "SELECT ps_parent.id,")
lists("sf_of_nothing", "\\set ON_ERROR_STOP 0\n\\sf nothing_there", 'function "nothing_there" does not exist')
lists("encoding", "\\encoding", "UTF8")
lists("errverbose", "\\set ON_ERROR_STOP 0\nSELECT nope;\n\\errverbose", "ERROR: 42703: column \"nope\" does not exist", "LINE 1: SELECT nope;", "LOCATION:")
lists("gset", "SELECT 7 AS seven, 'x' AS letter \\gset v_\n\\echo :v_seven :v_letter", "7 x")
lists("gexec", "SELECT format('SELECT %s AS made', g) FROM generate_series(1, 2) AS g \\gexec", "made", "2")
lists("gdesc", "SELECT id, price, mood, now() AS n FROM ps_parent \\gdesc", "id | integer", "price | numeric(10,2)", "mood | ps_mood", "n | timestamp with time zone")
lists("gx", "SELECT 1 AS a, 'b' AS c \\gx", "-[ RECORD 1 ]", "a | 1")
lists("g_to_a_pipe", "SELECT 42 \\g | cat", "42")
lists("crosstabview", "SELECT a, b, parent FROM ps_child \\crosstabview a b parent", "a | 1 | 2", "1 | 1 | 2")
lists("bind_less_expanded", "\\x auto\nSELECT 1 AS a;", "a")
lists("timing", "\\timing on\nSELECT 1;", "Time:")
lists("variables", "\\set n 5\nSELECT :n + 1 AS six, :'n' AS text;", "6 | 5")
lists("conditionals", "SELECT true AS yes \\gset\n\\if :yes\n\\echo taken\n\\else\n\\echo not\n\\endif", "taken")
lists("row_count_variables", "SELECT 1;\n\\echo :ROW_COUNT :ERROR :SERVER_VERSION_NUM", "1 false 15")
lists("formats", "\\pset format csv\nSELECT 1 AS a, 'x,y' AS b;\n\\pset format html\nSELECT 1 AS a;", "a,b", '1,"x,y"', "<td align=\"right\">1</td>")
lists("transaction_in_prompt_and_rollback", "BEGIN;\nSELECT 1;\nROLLBACK;", "BEGIN", "ROLLBACK")
lists("prepare_execute", "PREPARE q (int) AS SELECT $1 * 2 AS twice;\nEXECUTE q(21);\nDEALLOCATE q;", "PREPARE", "42", "DEALLOCATE")
lists("explain", "EXPLAIN SELECT * FROM ps_parent;", "QUERY PLAN")
lists("notices_and_tags", "DROP TABLE IF EXISTS ps_none;\nCREATE TABLE ps_tag (id int);\nINSERT INTO ps_tag VALUES (1);\nUPDATE ps_tag SET id = 2;\nDELETE FROM ps_tag;\nTRUNCATE ps_tag;\nDROP TABLE ps_tag;",
      "table \"ps_none\" does not exist, skipping", "CREATE TABLE", "INSERT 0 1", "UPDATE 1", "DELETE 1", "TRUNCATE TABLE", "DROP TABLE")


@checks.check
def on_error_rollback():
    out = psql("\\set ON_ERROR_STOP 0\n\\set ON_ERROR_ROLLBACK on\nBEGIN;\nSELECT 1/0;\nSELECT 5 AS still;\nCOMMIT;")
    that("still" in out and "COMMIT" in out, out)


@checks.check
def copy_meta_command_both_ways():
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/in.csv", "w") as file:
            file.write("id,t\n1,a\n2,\"b,c\"\n")
        psql("DROP TABLE IF EXISTS ps_copy; CREATE TABLE ps_copy (id int, t text);")
        says(f"\\copy ps_copy FROM '{folder}/in.csv' WITH (FORMAT csv, HEADER)", "COPY 2")
        says(f"\\copy (SELECT * FROM ps_copy ORDER BY id) TO '{folder}/out.tsv'", "COPY 2")
        same(open(f"{folder}/out.tsv").read(), "1\ta\n2\tb,c\n")


@checks.check
def copy_statement_from_stdin_and_to_stdout():
    psql("DROP TABLE IF EXISTS ps_copy2; CREATE TABLE ps_copy2 (id int, t text);\nCOPY ps_copy2 FROM STDIN;\n1\tone\n2\t\\N\n\\.\n")
    same(psql("COPY (SELECT * FROM ps_copy2 ORDER BY id) TO STDOUT WITH (FORMAT csv, NULL 'nil');"), "1,one\n2,nil\n")


@checks.check
def watch():
    command = ["timeout", "-s", "INT", "1.5", "psql", "-X", "-h", HOST, "-p", str(PORT), "-U", USER, "-d", DATABASE]
    done = subprocess.run(command, input="SELECT 'tick' AS t \\watch 0.3\n", env={**os.environ, "PGPASSWORD": PASSWORD}, capture_output=True, text=True, timeout=20)
    that(done.stdout.count("tick") >= 2, done.stdout + done.stderr)


@checks.check
def fetch_count_uses_a_cursor():
    same(psql("\\set FETCH_COUNT 10\nSELECT g FROM generate_series(1, 25) AS g;", "-At").split(), [str(i) for i in range(1, 26)])


@checks.check
def connects_again_and_changes_role():
    says(f"\\c {DATABASE}\nSELECT current_user;", f'You are now connected to database "{DATABASE}"', USER)


@checks.check
def password_command():
    says("CREATE ROLE ps_role LOGIN;\nALTER ROLE ps_role SET work_mem = '8MB';\nGRANT SELECT ON ps_parent TO ps_role;\n\\drds ps_role\n\\dp ps_parent\nREVOKE SELECT ON ps_parent FROM ps_role;\nDROP ROLE ps_role;",
         "ps_role | | work_mem=8MB", f"ps_role=r/{USER}")


@checks.check
def hidden_queries_are_shown():
    out = psql("\\dt ps_parent", "-E")
    that("********* QUERY **********" in out and "pg_catalog.pg_class" in out, out)


@checks.check
def listen_shows_notifications():
    says("LISTEN ps_news;\nNOTIFY ps_news, 'hi';\nSELECT 1;", 'Asynchronous notification "ps_news" with payload "hi" received')


@checks.check
def error_shows_its_line():
    out = psql("SELECT 1 +\n  nothing;", status=3)
    that("ERROR:  column \"nothing\" does not exist" in out and "LINE 2:   nothing;" in out and "^" in out, out)


@checks.check
def csv_option_and_variables_on_the_command_line():
    same(psql("SELECT :'who' AS who, 1.50 AS n, true AS b, NULL AS x;", "--csv", "-v", "who=me"), "who,n,b,x\nme,1.50,t,\n")


@checks.travel
def travels():
    psql("DROP TABLE IF EXISTS ps_past; CREATE TABLE ps_past (id int primary key, v text); INSERT INTO ps_past VALUES (1, 'old');")
    at = past_instant()
    psql("UPDATE ps_past SET v = 'new';")
    read = "SELECT 'it is ' || v FROM ps_past;"
    says(read, "it is old", database=f"{DATABASE}@{at}")
    says(read, "it is old", PGOPTIONS=f"-c chronogate.as_of={at}")
    says(f"BEGIN;\nSET LOCAL chronogate.as_of = '{at}';\n{read}\nCOMMIT;\n{read}", "it is old", "it is new")
    says("\\d ps_past", "v | text", database=f"{DATABASE}@{at}")


checks.main()
