"""psycopg2 against the server: everything goes through the simple protocol, with parameters written into the text."""

import os
import select
import sys
import uuid
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from io import StringIO

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import psycopg2
import psycopg2.extensions
import psycopg2.extras
import psycopg2.pool
from checks import DATABASE, HOST, PASSWORD, PORT, USER, Checks, past_instant, raises, same, that
from psycopg2 import errors

checks = Checks("psycopg2")


def connect(autocommit=True, **more):
    settings = dict(host=HOST, port=PORT, user=USER, password=PASSWORD, dbname=DATABASE, connect_timeout=10)
    settings.update(more)
    c = psycopg2.connect(**settings)
    c.autocommit = autocommit
    return c


def rows(c, query, parameters=None):
    with c.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall() if cursor.description else cursor.rowcount


def table(c, name, columns):
    rows(c, f"DROP TABLE IF EXISTS {name}")
    rows(c, f"CREATE TABLE {name} ({columns})")


def pgcode(error):
    return error.pgcode


@checks.check
def connects():
    c = connect()
    that(150000 <= c.server_version < 160000, str(c.server_version))
    same(c.encoding, "UTF8")


@checks.check
def literals_of_every_type():
    c = connect()
    values = (1, 2**40, 1.5, Decimal("1.10"), "it's \\ ü", True, None, date(2024, 1, 2), timedelta(days=1, seconds=3), [1, 2], ["a", None])
    seen = rows(c, "SELECT %s, %s, %s::float8, %s, %s, %s, %s, %s, %s, %s, %s", values)[0]
    same(seen, values)


@checks.check
def timestamps_carry_their_zone():
    c = connect()
    at = datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=timezone.utc)
    same(rows(c, "SELECT %s, %s::timestamp", (at, at.replace(tzinfo=None)))[0], (at, at.replace(tzinfo=None)))


@checks.check
def bytea_there_and_back():
    c = connect()
    same(bytes(rows(c, "SELECT %s", (psycopg2.Binary(b"\x00\xff'\\"),))[0][0]), b"\x00\xff'\\")


@checks.check
def json_and_uuid():
    c = connect()
    psycopg2.extras.register_uuid(conn_or_curs=c)
    value = {"a": [1, None]}
    row = rows(c, "SELECT %s::jsonb, %s::json, %s", (psycopg2.extras.Json(value), psycopg2.extras.Json(value), uuid.UUID(int=7)))[0]
    same(row, (value, value, uuid.UUID(int=7)))


@checks.check
def in_with_a_tuple_and_any_with_a_list():
    c = connect()
    table(c, "p2_in", "id int primary key")
    rows(c, "INSERT INTO p2_in SELECT g FROM generate_series(1, 9) g")
    same(rows(c, "SELECT id FROM p2_in WHERE id IN %s ORDER BY 1", ((2, 4),)), [(2,), (4,)])
    same(rows(c, "SELECT id FROM p2_in WHERE id = ANY(%s) ORDER BY 1", ([3, 5],)), [(3,), (5,)])


@checks.check
def execute_values_and_batch():
    c = connect()
    table(c, "p2_values", "id int primary key, t text, n numeric(8,2)")
    with c.cursor() as cursor:
        data = [(i, f"t{i}", Decimal(i) / 4) for i in range(500)]
        psycopg2.extras.execute_values(cursor, "INSERT INTO p2_values VALUES %s", data, page_size=200)
        ids = psycopg2.extras.execute_values(cursor, "INSERT INTO p2_values VALUES %s RETURNING id", [(1000, "x", 1)], fetch=True)
        same(ids, [(1000,)])
        psycopg2.extras.execute_batch(cursor, "UPDATE p2_values SET t = %s WHERE id = %s", [("u", i) for i in range(20)])
    same(rows(c, "SELECT count(*), count(*) FILTER (WHERE t = 'u'), sum(n) FROM p2_values")[0], (501, 20, Decimal("31188.50")))


@checks.check
def named_cursor():
    c = connect(autocommit=False)
    with c.cursor(name="far") as cursor:
        cursor.itersize = 10
        cursor.execute("SELECT g FROM generate_series(1, 35) g")
        same([r[0] for r in cursor], list(range(1, 36)))


@checks.check
def scrollable_cursor():
    c = connect(autocommit=False)
    with c.cursor(name="scr", scrollable=True) as cursor:
        cursor.execute("SELECT g FROM generate_series(1, 10) g")
        cursor.fetchmany(5)
        cursor.scroll(-3)
        same(cursor.fetchone(), (3,))
        cursor.scroll(9, mode="absolute")
        same(cursor.fetchone(), (10,))


@checks.check
def cursor_kinds():
    c = connect()
    with c.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
        cursor.execute("SELECT 1 AS a, 'x' AS b")
        same(dict(cursor.fetchone()), {"a": 1, "b": "x"})
    with c.cursor(cursor_factory=psycopg2.extras.NamedTupleCursor) as cursor:
        cursor.execute("SELECT 1 AS a")
        same(cursor.fetchone().a, 1)


@checks.check
def copy_from_and_to():
    c = connect()
    table(c, "p2_copy", "id int, t text")
    with c.cursor() as cursor:
        cursor.copy_from(StringIO("1\ta\n2\t\\N\n3\ttab\\there\n"), "p2_copy")
        same(cursor.rowcount, 3)
        out = StringIO()
        cursor.copy_expert("COPY (SELECT * FROM p2_copy ORDER BY id) TO STDOUT WITH CSV HEADER", out)
        same(out.getvalue(), "id,t\n1,a\n2,\n3,tab\there\n")
        out = StringIO()
        cursor.copy_to(out, "p2_copy", columns=("t",), null="-")
        same(sorted(out.getvalue().split("\n")), ["", "-", "a", "tab\\there"])


@checks.check
def with_block_commits_or_rolls_back():
    c = connect(autocommit=False)
    table(c, "p2_with", "id int primary key")
    c.commit()
    with c:
        rows(c, "INSERT INTO p2_with VALUES (1)")
    with raises(errors.UniqueViolation, "23505", pgcode):
        with c:
            rows(c, "INSERT INTO p2_with VALUES (2)")
            rows(c, "INSERT INTO p2_with VALUES (1)")
    same(rows(c, "SELECT id FROM p2_with"), [(1,)])


@checks.check
def savepoints():
    c = connect(autocommit=False)
    table(c, "p2_save", "id int primary key")
    rows(c, "INSERT INTO p2_save VALUES (1)")
    rows(c, "SAVEPOINT one")
    with raises(errors.UniqueViolation):
        rows(c, "INSERT INTO p2_save VALUES (1)")
    rows(c, "ROLLBACK TO SAVEPOINT one")
    rows(c, "INSERT INTO p2_save VALUES (2)")
    rows(c, "RELEASE SAVEPOINT one")
    c.commit()
    same(rows(c, "SELECT count(*) FROM p2_save")[0], (2,))


@checks.check
def session_characteristics():
    c = connect(autocommit=False)
    c.set_session(isolation_level="REPEATABLE READ", readonly=True)
    same(rows(c, "SHOW transaction_isolation"), [("repeatable read",)])
    with raises(errors.ReadOnlySqlTransaction):
        rows(c, "CREATE TABLE p2_no (id int)")
    c.rollback()


@checks.check
def isolation_levels_read_back():
    c = connect(autocommit=False)
    c.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_SERIALIZABLE)
    same(rows(c, "SHOW transaction_isolation"), [("serializable",)])


@checks.check
def error_fields():
    c = connect()
    table(c, "p2_err", "id int constraint p2_err_pk primary key, v varchar(3)")
    rows(c, "INSERT INTO p2_err VALUES (1, 'abc')")
    with raises(errors.UniqueViolation) as seen:
        rows(c, "INSERT INTO p2_err VALUES (1, 'x')")
    same((seen.error.diag.constraint_name, seen.error.diag.table_name), ("p2_err_pk", "p2_err"))
    with raises(errors.StringDataRightTruncation, "22001", pgcode):
        rows(c, "INSERT INTO p2_err VALUES (2, 'abcd')")
    with raises(errors.UndefinedColumn, "42703", pgcode) as seen:
        rows(c, "SELECT nope FROM p2_err")
    that("LINE 1: SELECT nope" in str(seen.error), str(seen.error))


@checks.check
def notifications():
    a, b = connect(), connect()
    rows(a, "LISTEN p2_news")
    rows(b, "NOTIFY p2_news, 'x'")
    that(select.select([a], [], [], 5)[0], "nothing arrived")
    a.poll()
    same([(n.channel, n.payload) for n in a.notifies], [("p2_news", "x")])


@checks.check
def notices():
    c = connect()
    rows(c, "DROP TABLE IF EXISTS p2_nothing")
    that("does not exist, skipping" in "".join(c.notices), str(c.notices))


@checks.check
def cancel():
    import threading

    c = connect()
    threading.Timer(0.3, c.cancel).start()
    with raises(errors.QueryCanceled):
        rows(c, "SELECT pg_sleep(20)")
    same(rows(c, "SELECT 1"), [(1,)])


@checks.check
def enum_and_composite_registration():
    c = connect()
    rows(c, "DROP TYPE IF EXISTS p2_point")
    rows(c, "CREATE TYPE p2_point AS (x int, y text)")
    psycopg2.extras.register_composite("p2_point", c)
    row = rows(c, "SELECT (1, 'a')::p2_point")[0][0]
    same((row.x, row.y), (1, "a"))


@checks.check
def pool():
    p = psycopg2.pool.ThreadedConnectionPool(1, 3, host=HOST, port=PORT, user=USER, password=PASSWORD, dbname=DATABASE)
    a, b = p.getconn(), p.getconn()
    same(rows(a, "SELECT 1") + rows(b, "SELECT 2"), [(1,), (2,)])
    p.putconn(a)
    p.putconn(b)
    p.closeall()


@checks.check
def reset():
    c = connect(autocommit=False)
    rows(c, "SET statement_timeout = '7s'")
    c.commit()
    c.reset()
    same(rows(c, "SHOW statement_timeout"), [("0",)])


@checks.check
def mogrified_date_arithmetic():
    c = connect()
    same(rows(c, "SELECT %s::date + %s", (date(2024, 1, 31), timedelta(days=1)))[0], (datetime(2024, 2, 1),))
    same(rows(c, "SELECT date_trunc('month', %s::timestamp)", (datetime(2024, 5, 6, 7),))[0], (datetime(2024, 5, 1),))


@checks.travel
def travels():
    c = connect()
    table(c, "p2_past", "id int primary key, v text")
    rows(c, "INSERT INTO p2_past VALUES (1, 'old')")
    at = past_instant()
    rows(c, "UPDATE p2_past SET v = 'new'")
    same(rows(connect(dbname=f"{DATABASE}@{at}"), "SELECT v FROM p2_past"), [("old",)])
    same(rows(connect(options=f"-c chronogate.as_of={at}"), "SELECT v FROM p2_past"), [("old",)])
    t = connect(autocommit=False)
    rows(t, "SET LOCAL chronogate.as_of = %s", (at,))
    same(rows(t, "SELECT v FROM p2_past"), [("old",)])
    t.commit()
    same(rows(t, "SELECT v FROM p2_past"), [("new",)])


checks.main()
