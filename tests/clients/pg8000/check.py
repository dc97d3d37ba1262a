"""pg8000 against the server: a driver in pure Python with its own protocol code, parameters always as text."""

import os
import sys
import uuid
from datetime import date, datetime, timezone
from decimal import Decimal
from io import BytesIO

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import pg8000.dbapi
import pg8000.native
from checks import DATABASE, HOST, PASSWORD, PORT, USER, Checks, past_instant, raises, same

checks = Checks("pg8000")


def connect(**more):
    settings = dict(user=USER, host=HOST, port=PORT, password=PASSWORD, database=DATABASE, timeout=25)
    settings.update(more)
    return pg8000.native.Connection(**settings)


def code(error):
    return error.args[0]["C"]


@checks.check
def connects():
    c = connect()
    same(c.run("SELECT 1"), [[1]])
    same(c.parameter_statuses["server_encoding"], "UTF8")


@checks.check
def types_there_and_back():
    c = connect()
    for value, cast in (
        (5, "int"), (2**40, "bigint"), (1.25, "float8"), (Decimal("3.10"), "numeric"), ("ü", "text"), (True, "bool"), (None, "text"),
        (date(2024, 1, 1), "date"), (datetime(2024, 1, 1, 1, 2, 3), "timestamp"), (datetime(2024, 1, 1, tzinfo=timezone.utc), "timestamptz"),
        (uuid.UUID(int=3), "uuid"), ({"a": [1]}, "jsonb"), (b"\x00\xff", "bytea"), ([1, 2], "int[]"), (["a", None], "text[]"),
    ):
        same(c.run(f"SELECT CAST(:v AS {cast})", v=value), [[value]], cast)


@checks.check
def rows_and_columns():
    c = connect()
    c.run("DROP TABLE IF EXISTS p8_rows")
    c.run("CREATE TABLE p8_rows (id serial primary key, t text, n numeric(6,2))")
    same(c.run("INSERT INTO p8_rows (t, n) VALUES (:t, :n) RETURNING id", t="a", n=Decimal("1.5")), [[1]])
    same(c.run("SELECT * FROM p8_rows WHERE id = :id AND t = :t", id=1, t="a"), [[1, "a", Decimal("1.50")]])
    same([column["name"] for column in c.columns], ["id", "t", "n"])
    c.run("UPDATE p8_rows SET t = 'b'")
    same(c.row_count, 1)


@checks.check
def any_limit_and_offset():
    c = connect()
    same(c.run("SELECT g FROM generate_series(1, 9) AS g WHERE g = ANY(CAST(:a AS int[])) LIMIT :n OFFSET :m", a=[2, 4, 6], n=1, m=1), [[4]])


@checks.check
def transactions():
    c = connect()
    c.run("DROP TABLE IF EXISTS p8_tx")
    c.run("CREATE TABLE p8_tx (id int primary key)")
    c.run("START TRANSACTION")
    c.run("INSERT INTO p8_tx VALUES (1)")
    c.run("ROLLBACK")
    same(c.run("SELECT count(*) FROM p8_tx"), [[0]])


@checks.check
def savepoint():
    c = connect()
    c.run("BEGIN")
    c.run("SAVEPOINT s")
    with raises(pg8000.native.DatabaseError, "22012", code):
        c.run("SELECT 1/0")
    c.run("ROLLBACK TO s")
    same(c.run("SELECT 1"), [[1]])
    c.run("COMMIT")


@checks.check
def errors_have_fields():
    c = connect()
    c.run("DROP TABLE IF EXISTS p8_err")
    c.run("CREATE TABLE p8_err (id int CONSTRAINT p8_pk PRIMARY KEY)")
    c.run("INSERT INTO p8_err VALUES (1)")
    with raises(pg8000.native.DatabaseError, "23505", code) as seen:
        c.run("INSERT INTO p8_err VALUES (:i)", i=1)
    same((seen.error.args[0]["n"], seen.error.args[0]["t"]), ("p8_pk", "p8_err"))
    with raises(pg8000.native.DatabaseError, "42P01", code):
        c.run("SELECT * FROM p8_nowhere")
    same(c.run("SELECT 1"), [[1]])


@checks.check
def prepared_statement():
    c = connect()
    s = c.prepare("SELECT CAST(:a AS int) + CAST(:b AS int)")
    same([s.run(a=1, b=i) for i in range(3)], [[[1]], [[2]], [[3]]])
    s.close()


@checks.check
def copy():
    c = connect()
    c.run("DROP TABLE IF EXISTS p8_copy")
    c.run("CREATE TABLE p8_copy (id int, t text)")
    c.run("COPY p8_copy FROM STDIN WITH (FORMAT CSV)", stream=BytesIO(b"1,a\n2,b\n"))
    out = BytesIO()
    c.run("COPY (SELECT * FROM p8_copy ORDER BY id) TO STDOUT", stream=out)
    same(out.getvalue(), b"1\ta\n2\tb\n")


@checks.check
def notifications():
    a = connect()
    a.run("LISTEN p8_news")
    a.run("NOTIFY p8_news, 'x'")
    a.run("SELECT 1")
    same([(n[1], n[2]) for n in a.notifications], [("p8_news", "x")])


@checks.check
def notices():
    c = connect()
    c.run("DROP TABLE IF EXISTS p8_never")
    same(c.notices[0][b"M"], b'table "p8_never" does not exist, skipping')


@checks.check
def dbapi_layer():
    c = pg8000.dbapi.connect(user=USER, host=HOST, port=PORT, password=PASSWORD, database=DATABASE)
    cursor = c.cursor()
    cursor.execute("DROP TABLE IF EXISTS p8_db")
    cursor.execute("CREATE TABLE p8_db (id int primary key, t text)")
    cursor.executemany("INSERT INTO p8_db VALUES (%s, %s)", [(1, "a"), (2, "b")])
    c.commit()
    cursor.execute("SELECT t FROM p8_db WHERE id > %s ORDER BY id", (0,))
    same([list(row) for row in cursor.fetchall()], [["a"], ["b"]])


@checks.check
def two_phase_is_told_apart():
    """Two-phase commit is off by default in PostgreSQL (max_prepared_transactions = 0): 55000."""
    c = connect()
    c.run("BEGIN")
    with raises(pg8000.native.DatabaseError, "55000", code):
        c.run("PREPARE TRANSACTION 'p8'")
    c.run("ROLLBACK")


@checks.travel
def travels():
    c = connect()
    c.run("DROP TABLE IF EXISTS p8_past")
    c.run("CREATE TABLE p8_past (id int primary key, v text)")
    c.run("INSERT INTO p8_past VALUES (1, 'old')")
    at = past_instant()
    c.run("UPDATE p8_past SET v = 'new'")
    same(connect(database=f"{DATABASE}@{at}").run("SELECT v FROM p8_past"), [["old"]])
    same(connect(startup_params={"options": f"-c chronogate.as_of={at}"}).run("SELECT v FROM p8_past"), [["old"]])
    c.run("BEGIN")
    c.run(f"SET LOCAL chronogate.as_of = '{at}'")
    same(c.run("SELECT v FROM p8_past WHERE id = :id", id=1), [["old"]])
    c.run("COMMIT")
    same(c.run("SELECT v FROM p8_past"), [["new"]])


checks.main()
