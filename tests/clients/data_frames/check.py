"""ADBC, connectorx, polars and pandas: whole results as columns, most of them over COPY in binary."""

import os
import sys
from datetime import date, datetime
from decimal import Decimal
from urllib.parse import quote

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import adbc_driver_postgresql.dbapi as adbc
import connectorx
import pandas
import polars
import psycopg
import pyarrow
import sqlalchemy
from checks import DATABASE, HOST, PASSWORD, PORT, USER, Checks, past_instant, raises, same, that

checks = Checks("data_frames")


def uri(kind="postgresql", database=DATABASE):
    return f"{kind}://{USER}:{quote(PASSWORD)}@{HOST}:{PORT}/{quote(database)}"


def filled():
    with psycopg.connect(uri(), autocommit=True) as c:
        c.execute("DROP TABLE IF EXISTS df_all")
        c.execute(
            "CREATE TABLE df_all (id int PRIMARY KEY, big bigint, t text, v varchar(10), n numeric(10,2), f float8, r real, b boolean,"
            " ts timestamp, tz timestamptz, d date, by bytea, j jsonb, u uuid, arr int[], iv interval, tm time, s smallint)"
        )
        c.execute(
            "INSERT INTO df_all SELECT g, g * 100000000000, 't' || g, 'v', g * 1.5, g / 4.0, 0.5, g % 2 = 0, '2024-01-01'::timestamp + g * interval '1 hour',"
            " '2024-01-01 00:00Z', '2024-01-01'::date + g, '\\x00ff', '{\"a\": 1}', '11111111-1111-1111-1111-111111111111', ARRAY[g, 2], '1 day', '10:00', g"
            " FROM generate_series(1, 50) AS g"
        )
        c.execute("INSERT INTO df_all (id) VALUES (51)")


def adbc_rows(sql, parameters=None):
    with adbc.connect(uri()) as c, c.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetch_arrow_table()


@checks.check
def adbc_reads_common_types():
    filled()
    table = adbc_rows("SELECT id, big, t, f, b, ts, d, by, s FROM df_all ORDER BY id")
    same(table.num_rows, 51)
    row = {"id": 4, "big": 400000000000, "t": "t4", "f": 1.0, "b": True, "ts": datetime(2024, 1, 1, 4), "d": date(2024, 1, 5), "by": b"\x00\xff", "s": 4}
    same(table.slice(3, 1).to_pylist(), [row])
    same(table.schema.field("id").type, pyarrow.int32())


@checks.check
def adbc_reads_the_other_types():
    filled()
    row = adbc_rows("SELECT n, j, arr, tm FROM df_all ORDER BY id").slice(0, 1).to_pylist()[0]
    same((row["n"], row["j"], row["arr"]), ("1.50", '{"a": 1}', [1, 2]))


@checks.check
def adbc_binds_parameters():
    filled()
    same(adbc_rows("SELECT t FROM df_all WHERE id = $1", (3,)).to_pylist(), [{"t": "t3"}])


@checks.check
def adbc_loads_a_table():
    with adbc.connect(uri()) as c, c.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS df_loaded")
        rows = pyarrow.table({"a": [1, 2, 3], "b": ["x", "y", None], "c": [1.5, 2.5, None], "d": [True, False, None]})
        same(cursor.adbc_ingest("df_loaded", rows, mode="create"), 3)
        c.commit()
        cursor.execute("SELECT * FROM df_loaded ORDER BY a")
        same(cursor.fetchall(), [(1, "x", 1.5, True), (2, "y", 2.5, False), (3, None, None, None)])
        cursor.executemany("INSERT INTO df_loaded (a, b) VALUES ($1, $2)", [(7, "p"), (8, "q")])
        c.rollback()
        cursor.execute("SELECT count(*) FROM df_loaded")
        same(cursor.fetchall(), [(3,)])


@checks.check
def adbc_lists_objects():
    filled()
    with adbc.connect(uri()) as c:
        found = c.adbc_get_objects(depth="all", db_schema_filter="public", table_name_filter="df_all").read_all().to_pylist()
        table = [d for d in found if d["catalog_db_schemas"]][0]["catalog_db_schemas"][0]["db_schema_tables"][0]
        same({x["column_name"] for x in table["table_columns"]} >= {"id", "big", "t", "arr"}, True)
        same([(x["constraint_name"], x["constraint_type"]) for x in table["table_constraints"]], [("df_all_pkey", "PRIMARY KEY")])
        same(c.adbc_get_table_schema("df_all").names[:3], ["id", "big", "t"])


@checks.check
def connectorx_reads_arrow():
    filled()
    table = connectorx.read_sql(uri(), "SELECT id, big, t, v, f, r, b, ts, d, s FROM df_all ORDER BY id", return_type="arrow")
    same((table.num_rows, table.slice(1, 1).to_pylist()[0]["t"]), (51, "t2"))


@checks.check
def connectorx_reads_in_parts():
    filled()
    same(connectorx.read_sql(uri(), "SELECT id, t FROM df_all", partition_on="id", partition_num=3, return_type="arrow").num_rows, 51)


@checks.check
def connectorx_speaks_each_protocol():
    filled()
    for protocol in ("binary", "csv", "cursor"):
        rows = connectorx.read_sql(uri(), "SELECT id, t, d FROM df_all WHERE id < 3 ORDER BY id", protocol=protocol, return_type="arrow").to_pylist()
        same([(r["id"], r["t"]) for r in rows], [(1, "t1"), (2, "t2")], protocol)


@checks.check
def polars_reads():
    filled()
    frame = polars.read_database_uri("SELECT id, t, f, d FROM df_all ORDER BY id LIMIT 3", uri())
    same(frame.rows()[0], (1, "t1", 0.25, date(2024, 1, 2)))
    same(polars.read_database_uri("SELECT id, t FROM df_all ORDER BY id LIMIT 2", uri(), engine="adbc").rows(), [(1, "t1"), (2, "t2")])


@checks.check
def polars_writes():
    frame = polars.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    frame.write_database("df_polars", uri("postgresql+psycopg"), if_table_exists="replace")
    same(polars.read_database_uri("SELECT a, b FROM df_polars ORDER BY a", uri()).rows(), [(1, "x"), (2, "y")])
    frame.write_database("df_polars", uri(), if_table_exists="replace", engine="adbc")
    same(polars.read_database_uri("SELECT a, b FROM df_polars ORDER BY a", uri()).rows(), [(1, "x"), (2, "y")])


def engine(driver):
    return sqlalchemy.create_engine(uri(f"postgresql+{driver}"))


@checks.check
def pandas_writes_and_reads():
    for driver in ("psycopg", "psycopg2", "pg8000"):
        frame = pandas.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"], "t": pandas.date_range("2024-01-01", periods=3)})
        with engine(driver).begin() as c:
            frame.to_sql("df_pandas", c, if_exists="replace", index=False)
            rows = pandas.read_sql("SELECT a, b, t FROM df_pandas ORDER BY a", c)
        same(list(rows["a"]), [1, 2, 3], driver)
        same(rows["t"][2].to_pydatetime(), datetime(2024, 1, 3), driver)


@checks.check
def pandas_reads_a_whole_table():
    filled()
    with engine("psycopg").connect() as c:
        frame = pandas.read_sql_table("df_all", c)
        same(len(frame), 51)
        same(str(frame["big"].dtype), "float64")
        totals = pandas.read_sql("SELECT b, count(*) AS c, sum(f) AS s FROM df_all WHERE id < 51 GROUP BY b ORDER BY b", c)
        same(totals.to_dict("records"), [{"b": False, "c": 25, "s": 156.25}, {"b": True, "c": 25, "s": 162.5}])
        same(pandas.read_sql("SELECT n FROM df_all WHERE id = 2", c)["n"][0], Decimal("3.00"))


@checks.check
def pandas_appends_many_rows():
    with engine("psycopg").begin() as c:
        c.execute(sqlalchemy.text("DROP TABLE IF EXISTS df_many"))
        pandas.DataFrame({"a": range(1500), "b": ["x"] * 1500}).to_sql("df_many", c, if_exists="append", index=True, method="multi", chunksize=500)
        same(c.execute(sqlalchemy.text("SELECT count(*), sum(a) FROM df_many")).one(), (1500, 1124250))


@checks.travel
def travels():
    filled()
    at = past_instant()
    with psycopg.connect(uri(), autocommit=True) as c:
        c.execute("DELETE FROM df_all WHERE id > 10")
    same(polars.read_database_uri("SELECT count(*) AS n FROM df_all", uri()).rows(), [(10,)])
    with adbc.connect(uri(database=f"{DATABASE}@{at}")) as c, c.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM df_all")
        same(cursor.fetchall(), [(51,)])
    with raises(adbc.Error):
        with adbc.connect(uri(database=f"{DATABASE}@{at}")) as c, c.cursor() as cursor:
            cursor.execute("DELETE FROM df_all")
    that(at, "an instant")


checks.main()
