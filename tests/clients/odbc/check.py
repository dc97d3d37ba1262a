"""psqlODBC, Debian's build, through pyodbc: what Excel and other desktop tools use. Every statement of a transaction is in a savepoint."""

import datetime
import os
import sys
from decimal import Decimal

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import pyodbc
from checks import DATABASE, HOST, PASSWORD, PORT, USER, Checks, past_instant, raises, same, that

checks = Checks("odbc")
pyodbc.pooling = False


def connect(database=DATABASE, more="", **settings):
    password = "{" + PASSWORD + "}"
    text = f"Driver=PostgreSQL Unicode;Server={HOST};Port={PORT};Database={database};UID={USER};PWD={password};{more}"
    return pyodbc.connect(text, timeout=25, **settings)


def state(error):
    return error.args[0]


def things():
    """A connection to a database with a table `od_thing`, its two rows, and `od_kind`, which it refers to."""
    c = connect()
    cursor = c.cursor()
    cursor.execute("DROP TABLE IF EXISTS od_thing")
    cursor.execute("DROP TABLE IF EXISTS od_kind")
    cursor.execute("CREATE TABLE od_kind (code int PRIMARY KEY, name text)")
    cursor.execute(
        "CREATE TABLE od_thing (id serial PRIMARY KEY, n int NOT NULL, t text, v varchar(20), d numeric(10,2), f float8, b boolean,"
        " ts timestamp, tz timestamptz, day date, bytes bytea, kind int REFERENCES od_kind (code))"
    )
    cursor.execute("CREATE INDEX od_by_n ON od_thing (n)")
    cursor.execute("INSERT INTO od_kind VALUES (?, ?)", 1, "first")
    row = (1, "häl", "v", Decimal("12.30"), 1.5, True, datetime.datetime(2024, 1, 2, 3, 4, 5), datetime.datetime(2024, 1, 2, 3, 4, 5))
    cursor.execute(
        "INSERT INTO od_thing (n, t, v, d, f, b, ts, tz, day, bytes, kind) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *row, datetime.date(2024, 1, 2), b"\x00\xff", 1,
    )
    cursor.execute("INSERT INTO od_thing (n) VALUES (?)", 2)
    c.commit()
    return c


@checks.check
def connects_and_names_the_server():
    c = connect()
    same(c.getinfo(pyodbc.SQL_DBMS_NAME), "PostgreSQL")
    same(c.getinfo(pyodbc.SQL_DBMS_VER)[:3], "15.")


@checks.check
def types_there_and_back():
    row = things().cursor().execute("SELECT n, t, v, d, f, b, ts, day, bytes FROM od_thing WHERE n = ?", 1).fetchone()
    same(tuple(row), (1, "häl", "v", Decimal("12.30"), 1.5, "1", datetime.datetime(2024, 1, 2, 3, 4, 5), datetime.date(2024, 1, 2), b"\x00\xff"))


@checks.check
def nulls():
    same(tuple(things().cursor().execute("SELECT t, d, b, day FROM od_thing WHERE n = 2").fetchone()), (None,) * 4)


@checks.check
def many_rows_at_once():
    c = things()
    cursor = c.cursor()
    cursor.executemany("INSERT INTO od_thing (n, t) VALUES (?, ?)", [(i, str(i)) for i in range(10, 60)])
    c.commit()
    same(tuple(cursor.execute("SELECT count(*), sum(n) FROM od_thing").fetchone()), (52, 1728))


@checks.check
def an_error_leaves_the_transaction_usable():
    c = things()
    cursor = c.cursor()
    cursor.execute("INSERT INTO od_thing (n) VALUES (3)")
    with raises(pyodbc.Error, "23505", state):
        cursor.execute("INSERT INTO od_thing (id, n) VALUES (1, 1)")
    same(cursor.execute("SELECT count(*) FROM od_thing").fetchone()[0], 3)
    c.commit()
    same(cursor.execute("SELECT count(*) FROM od_thing").fetchone()[0], 3)


@checks.check
def row_counts_and_rollback():
    c = things()
    cursor = c.cursor()
    cursor.execute("UPDATE od_thing SET t = 'x' WHERE n BETWEEN 1 AND 2")
    same(cursor.rowcount, 2)
    c.rollback()
    same(cursor.execute("SELECT count(*) FROM od_thing WHERE t = 'x'").fetchone()[0], 0)


@checks.check
def tables():
    found = things().cursor().tables(schema="public", table="od%")
    same([(t.table_name, t.table_type) for t in found], [("od_kind", "TABLE"), ("od_thing", "TABLE")])


@checks.check
def columns():
    found = [(r.column_name, r.type_name, r.column_size, r.nullable) for r in things().cursor().columns(table="od_thing")]
    same(found[:5], [("id", "int4", 10, 0), ("n", "int4", 10, 0), ("t", "text", 8190, 1), ("v", "varchar", 20, 1), ("d", "numeric", 10, 1)])


@checks.check
def primary_keys():
    same([tuple(r)[1:5] for r in things().cursor().primaryKeys(table="od_thing")], [("public", "od_thing", "id", 1)])


@checks.check
def indexes():
    found = {(r.index_name, r.non_unique, r.column_name) for r in things().cursor().statistics(table="od_thing") if r.index_name}
    same(found, {("od_thing_pkey", 0, "id"), ("od_by_n", 1, "n")})


@checks.check
def foreign_keys():
    found = [(r[2], r[3], r[6], r[7]) for r in things().cursor().foreignKeys(foreignTable="od_thing")]
    same(found, [("od_kind", "code", "od_thing", "kind")])


@checks.check
def type_info():
    names = {r.type_name for r in connect().cursor().getTypeInfo()}
    that({"int8", "bool", "date", "numeric", "text", "uuid"} <= names, f"types are {names}")


@checks.check
def row_versions():
    cursor = things().cursor()
    same([r[1] for r in cursor.rowVerColumns(table="od_thing")], ["xmin"])


@checks.check
def fetches_in_pieces():
    things()
    c = connect(more="UseDeclareFetch=1;Fetch=10")
    same(sum(1 for _ in c.cursor().execute("SELECT g FROM generate_series(1, 95) AS g")), 95)


@checks.check
def without_statements_of_the_server():
    things()
    c = connect(more="UseServerSidePrepare=0")
    same(tuple(c.cursor().execute("SELECT n, d, day FROM od_thing WHERE n = ? AND b = ?", 1, True).fetchone()), (1, Decimal("12.30"), datetime.date(2024, 1, 2)))


@checks.check
def calls_and_escapes():
    cursor = connect().cursor()
    cursor.execute("{call upper(?)}", "abc")
    same(cursor.fetchone()[0], "ABC")
    same(tuple(cursor.execute("SELECT {fn ucase('a')}, {ts '2024-01-01 00:00:00'}, {d '2024-02-29'}").fetchone()),
         ("A", datetime.datetime(2024, 1, 1), datetime.date(2024, 2, 29)))


@checks.check
def describes_results():
    cursor = things().cursor()
    cursor.execute("SELECT count(*) AS c, 'x' AS u, d FROM od_thing WHERE n = 1 GROUP BY d")
    same([(x[0], x[1].__name__, x[4], x[5]) for x in cursor.description], [("c", "int", 19, 0), ("u", "str", 8190, 0), ("d", "Decimal", 10, 2)])


@checks.travel
def travels():
    c = things()
    at = past_instant()
    c.cursor().execute("DELETE FROM od_thing WHERE n = 2")
    c.commit()
    same(c.cursor().execute("SELECT count(*) FROM od_thing").fetchone()[0], 1)
    past = connect(f"{DATABASE}@{at}")
    same(past.cursor().execute("SELECT count(*) FROM od_thing").fetchone()[0], 2)


checks.main()
