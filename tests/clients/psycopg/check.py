"""psycopg 3 against the server: types both ways, statements, transactions, COPY, notifications, pools."""

import os
import sys
import threading
import time
import uuid
from datetime import date, datetime, time as clock, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import psycopg
from checks import DATABASE, HOST, PASSWORD, PORT, USER, Checks, past_instant, raises, same, that
from psycopg import errors, sql
from psycopg.rows import class_row, dict_row, namedtuple_row
from psycopg.types.json import Json, Jsonb
from psycopg_pool import ConnectionPool

checks = Checks("psycopg")


def connect(**more):
    settings = dict(host=HOST, port=PORT, user=USER, password=PASSWORD, dbname=DATABASE, connect_timeout=10)
    settings.update(more)
    return psycopg.connect(**settings)


def table(c, name, columns, rows=()):
    c.execute(f"DROP TABLE IF EXISTS {name} CASCADE")
    c.execute(f"CREATE TABLE {name} ({columns})")
    for row in rows:
        c.execute(f"INSERT INTO {name} VALUES ({', '.join(['%s'] * len(row))})", row)
    c.commit()


def both_formats(c, value, cast):
    """`value` there and back in text and in binary."""
    for binary, place in ((False, "%t"), (True, "%b")):
        seen = c.cursor(binary=binary).execute(f"SELECT {place}::{cast}", (value,)).fetchone()[0]
        same(seen, value, f"{cast} ({'binary' if binary else 'text'})")


@checks.check
def connects_and_reads_server_version():
    with connect() as c:
        that(150000 <= c.info.server_version < 160000, f"server_version is {c.info.server_version}")
        same(c.info.parameter_status("standard_conforming_strings"), "on")
        same(c.info.parameter_status("integer_datetimes"), "on")
        that(c.execute("SELECT version()").fetchone()[0].startswith("PostgreSQL 15"), "version()")


@checks.check
def wrong_password_is_28P01():
    with raises(psycopg.OperationalError) as seen:
        connect(password="not it")
    that("password authentication failed" in str(seen.error), str(seen.error))


@checks.check
def unknown_database_is_named():
    with raises(psycopg.OperationalError) as seen:
        connect(dbname="no_such_db")
    that('database "no_such_db" does not exist' in str(seen.error), str(seen.error))


@checks.check
def integers_both_formats():
    with connect() as c:
        for value, cast in ((7, "int2"), (-70000, "int4"), (2**60, "int8")):
            both_formats(c, value, cast)


@checks.check
def floats_both_formats():
    with connect() as c:
        both_formats(c, 1.5, "float4")
        both_formats(c, 0.1, "float8")
        both_formats(c, float("inf"), "float8")


@checks.check
def numeric_both_formats():
    with connect() as c:
        for text in ("0", "12.30", "-0.0001", "12345678901234567890.123"):
            both_formats(c, Decimal(text), "numeric")


@checks.check
def text_both_formats():
    with connect() as c:
        for value in ("", "it's", "öäü€𝄞", "a\\b\n\t\"c\""):
            both_formats(c, value, "text")
            both_formats(c, value, "varchar")


@checks.check
def bytes_both_formats():
    with connect() as c:
        both_formats(c, b"\x00\xff\x10'\\", "bytea")


@checks.check
def bool_both_formats():
    with connect() as c:
        both_formats(c, True, "bool")
        both_formats(c, False, "bool")


@checks.check
def uuid_both_formats():
    with connect() as c:
        both_formats(c, uuid.UUID("12345678-1234-5678-1234-567812345678"), "uuid")


@checks.check
def dates_and_times_both_formats():
    with connect() as c:
        both_formats(c, date(2024, 2, 29), "date")
        both_formats(c, clock(23, 59, 59, 123456), "time")
        both_formats(c, datetime(2024, 2, 29, 12, 30, 0, 1), "timestamp")
        both_formats(c, datetime(2024, 2, 29, 12, 30, tzinfo=timezone.utc), "timestamptz")


@checks.check
def timetz_both_formats():
    with connect() as c:
        both_formats(c, clock(1, 2, 3, tzinfo=timezone(timedelta(hours=2))), "timetz")


@checks.check
def interval_both_formats():
    with connect() as c:
        both_formats(c, timedelta(days=3, hours=4, microseconds=5), "interval")
        both_formats(c, timedelta(days=-1, seconds=1), "interval")


@checks.check
def json_both_formats():
    value = {"a": [1, 2.5, None, "x"], "ü": {"b": True}}
    with connect() as c:
        for binary in (False, True):
            row = c.cursor(binary=binary).execute("SELECT %s::json, %s::jsonb", (Json(value), Jsonb(value))).fetchone()
            same(row, (value, value))


@checks.check
def arrays_both_formats():
    with connect() as c:
        for value, cast in (
            ([1, 2, None], "int4[]"),
            ([2**40], "int8[]"),
            (["a", 'b "q"', None, ""], "text[]"),
            ([[1, 2], [3, 4]], "int4[]"),
            ([date(2024, 1, 1)], "date[]"),
            ([Decimal("1.5")], "numeric[]"),
            ([True, False], "bool[]"),
            ([], "int4[]"),
            ([uuid.UUID(int=5)], "uuid[]"),
        ):
            both_formats(c, value, cast)


@checks.check
def network_types_both_formats():
    with connect() as c:
        both_formats(c, ip_address("192.168.0.1"), "inet")


@checks.check
def ranges_both_formats():
    from psycopg.types.range import Range

    with connect() as c:
        both_formats(c, Range(1, 5), "int4range")
        both_formats(c, Range(date(2024, 1, 1), date(2024, 2, 1)), "daterange")


@checks.check
def nulls_of_every_type():
    with connect() as c:
        casts = ["int4", "int8", "text", "bool", "float8", "numeric", "date", "timestamptz", "uuid", "jsonb", "bytea", "interval", "int4[]"]
        query = "SELECT " + ", ".join(f"%s::{cast}" for cast in casts)
        for binary in (False, True):
            same(c.cursor(binary=binary).execute(query, [None] * len(casts)).fetchone(), (None,) * len(casts))


@checks.check
def parameters_without_casts_take_column_types():
    with connect() as c:
        table(c, "pp_params", "id int primary key, n numeric(10,2), t text, at timestamptz, j jsonb, tags text[], u uuid")
        row = (1, Decimal("1.50"), "x", datetime(2024, 1, 1, tzinfo=timezone.utc), Jsonb({"a": 1}), ["p", "q"], uuid.UUID(int=1))
        c.execute("INSERT INTO pp_params VALUES (%s, %s, %s, %s, %s, %s, %s)", row)
        seen = c.execute("SELECT * FROM pp_params WHERE id = %s AND t = %s AND u = %s", (1, "x", row[6])).fetchone()
        same(seen, row[:4] + ({"a": 1},) + row[5:])
        same(c.execute("SELECT count(*) FROM pp_params WHERE n > %s AND at < now() + %s", (1, timedelta(days=1))).fetchone(), (1,))


@checks.check
def any_and_limit_take_parameters():
    with connect() as c:
        table(c, "pp_any", "id int primary key, t text", [(i, f"t{i}") for i in range(1, 6)])
        same(c.execute("SELECT id FROM pp_any WHERE id = ANY(%s) ORDER BY id", ([1, 3, 9],)).fetchall(), [(1,), (3,)])
        same(c.execute("SELECT id FROM pp_any WHERE t = ANY(%s) ORDER BY id", (["t2"],)).fetchall(), [(2,)])
        same(c.execute("SELECT id FROM pp_any WHERE id <> ALL(%s) ORDER BY id LIMIT %s OFFSET %s", ([1], 2, 1)).fetchall(), [(3,), (4,)])


@checks.check
def named_parameters():
    with connect() as c:
        same(c.execute("SELECT %(a)s::int + %(a)s::int, %(b)s::text", {"a": 2, "b": "z"}).fetchone(), (4, "z"))


@checks.check
def untyped_parameter_is_text():
    with connect() as c:
        same(c.execute("SELECT %s", ("hello",)).fetchone(), ("hello",))
        same(c.execute("SELECT 'a', NULL, 1, 1.5, true").fetchone(), ("a", None, 1, Decimal("1.5"), True))


@checks.check
def column_descriptions():
    with connect() as c:
        cursor = c.execute("SELECT 1 AS a, 'x'::varchar(5) AS b, 1.5::numeric(6,2) AS c, count(*), 1 + 1, now()")
        same([d.name for d in cursor.description], ["a", "b", "c", "count", "?column?", "now"])
        same([d.type_code for d in cursor.description], [23, 1043, 1700, 20, 23, 1184])
        b, n = cursor.description[1], cursor.description[2]
        same((b.display_size, n.precision, n.scale), (5, 6, 2))


@checks.check
def duplicate_column_names():
    with connect() as c:
        same(c.execute("SELECT 1 AS a, 2 AS a, NULL, NULL").fetchone(), (1, 2, None, None))


@checks.check
def row_factories():
    class Point:
        def __init__(self, x, y):
            self.x, self.y = x, y

    with connect() as c:
        same(c.cursor(row_factory=dict_row).execute("SELECT 1 AS x, 2 AS y").fetchone(), {"x": 1, "y": 2})
        same(c.cursor(row_factory=namedtuple_row).execute("SELECT 1 AS x, 2 AS y").fetchone().y, 2)
        same(c.cursor(row_factory=class_row(Point)).execute("SELECT 1 AS x, 2 AS y").fetchone().x, 1)


@checks.check
def row_counts():
    with connect() as c:
        table(c, "pp_counts", "id int primary key, v int", [(1, 1), (2, 1), (3, 1)])
        same(c.execute("UPDATE pp_counts SET v = 2 WHERE id > %s", (1,)).rowcount, 2)
        same(c.execute("UPDATE pp_counts SET v = 2 WHERE id > 99").rowcount, 0)
        same(c.execute("DELETE FROM pp_counts WHERE id = 1").statusmessage, "DELETE 1")
        same(c.execute("INSERT INTO pp_counts VALUES (7, 7), (8, 8)").statusmessage, "INSERT 0 2")
        same(c.execute("SELECT * FROM pp_counts").rowcount, 4)
        same(c.execute("CREATE TABLE IF NOT EXISTS pp_counts (id int)").statusmessage, "CREATE TABLE")


@checks.check
def returning():
    with connect() as c:
        table(c, "pp_ret", "id serial primary key, t text default 'd', n int generated always as identity")
        same(c.execute("INSERT INTO pp_ret (t) VALUES (%s), (DEFAULT) RETURNING id, t, n", ("a",)).fetchall(), [(1, "a", 1), (2, "d", 2)])
        same(c.execute("UPDATE pp_ret SET t = upper(t) WHERE id = 1 RETURNING *").fetchone(), (1, "A", 1))
        same(c.execute("DELETE FROM pp_ret WHERE id = 2 RETURNING id * 10").fetchone(), (20,))


@checks.check
def upsert():
    with connect() as c:
        table(c, "pp_up", "id int primary key, n int", [(1, 1)])
        up = "INSERT INTO pp_up VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET n = pp_up.n + excluded.n RETURNING n"
        same(c.execute(up, (1, 5)).fetchone(), (6,))
        same(c.execute(up, (2, 5)).fetchone(), (5,))
        same(c.execute("INSERT INTO pp_up VALUES (1, 0) ON CONFLICT DO NOTHING").rowcount, 0)


@checks.check
def executemany_with_returning():
    with connect() as c:
        table(c, "pp_many", "id serial primary key, v int")
        cursor = c.cursor()
        cursor.executemany("INSERT INTO pp_many (v) VALUES (%s) RETURNING id", [(i,) for i in range(50)], returning=True)
        ids = []
        while True:
            ids += [r[0] for r in cursor.fetchall()]
            if not cursor.nextset():
                break
        same(ids, list(range(1, 51)))
        cursor.executemany("UPDATE pp_many SET v = v + 1 WHERE id = %s", [(i,) for i in range(1, 11)])
        same(cursor.rowcount, 10)


@checks.check
def prepared_statements_are_reused():
    with connect() as c:
        c.prepare_threshold = 1
        table(c, "pp_prep", "id int primary key, v int", [(1, 1)])
        for i in range(8):
            same(c.execute("SELECT v + %s FROM pp_prep WHERE id = %s", (i, 1)).fetchone(), (1 + i,))
        same(c.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%%FROM pp_prep%%'").fetchone(), (1,))


@checks.check
def prepared_statement_survives_ddl_on_its_table():
    with connect(autocommit=True) as c:
        c.prepare_threshold = 0
        table(c, "pp_ddl", "id int primary key", [(1,)])
        same(c.execute("SELECT id FROM pp_ddl").fetchall(), [(1,)])
        c.execute("ALTER TABLE pp_ddl ADD COLUMN t text DEFAULT 'x'")
        same(c.execute("SELECT id FROM pp_ddl").fetchall(), [(1,)])


@checks.check
def pipeline_mode():
    with connect() as c:
        table(c, "pp_pipe", "id int primary key")
        with c.pipeline() as p:
            for i in range(20):
                c.execute("INSERT INTO pp_pipe VALUES (%s)", (i,))
            cursor = c.execute("SELECT count(*) FROM pp_pipe")
            p.sync()
            same(cursor.fetchone(), (20,))


@checks.check
def pipeline_error_skips_to_sync():
    with connect(autocommit=True) as c:
        table(c, "pp_pipe_err", "id int primary key", [(1,)])
        with raises(errors.UniqueViolation):
            with c.pipeline():
                c.execute("INSERT INTO pp_pipe_err VALUES (2)")
                c.execute("INSERT INTO pp_pipe_err VALUES (1)")
                c.execute("INSERT INTO pp_pipe_err VALUES (3)")
        same(c.execute("SELECT id FROM pp_pipe_err ORDER BY 1").fetchall(), [(1,)])


@checks.check
def server_side_cursor():
    with connect() as c:
        with c.cursor(name="walk") as cursor:
            cursor.itersize = 7
            cursor.execute("SELECT g FROM generate_series(1, %s) AS g", (100,))
            same(sum(r[0] for r in cursor), 5050)


@checks.check
def scrollable_and_held_cursor():
    with connect() as c:
        with c.cursor(name="scroll", scrollable=True, withhold=True) as cursor:
            cursor.execute("SELECT g FROM generate_series(1, 10) AS g")
            same(cursor.fetchmany(3), [(1,), (2,), (3,)])
            cursor.scroll(-2)
            same(cursor.fetchone(), (2,))
            c.commit()
            cursor.scroll(8, mode="absolute")
            same(cursor.fetchall(), [(9,), (10,)])


@checks.check
def streaming_rows():
    with connect() as c:
        same(sum(r[0] for r in c.cursor().stream("SELECT g FROM generate_series(1, 1000) AS g")), 500500)


@checks.check
def commit_and_rollback():
    with connect() as c, connect() as other:
        table(c, "pp_tx", "id int primary key")
        c.execute("INSERT INTO pp_tx VALUES (1)")
        same(other.execute("SELECT count(*) FROM pp_tx").fetchone(), (0,))
        other.rollback()
        c.rollback()
        c.execute("INSERT INTO pp_tx VALUES (2)")
        c.commit()
        same(other.execute("SELECT id FROM pp_tx").fetchall(), [(2,)])


@checks.check
def nested_transactions():
    with connect() as c:
        table(c, "pp_nest", "id int primary key")
        with c.transaction():
            c.execute("INSERT INTO pp_nest VALUES (1)")
            try:
                with c.transaction():
                    c.execute("INSERT INTO pp_nest VALUES (2)")
                    c.execute("INSERT INTO pp_nest VALUES (1)")
            except errors.UniqueViolation:
                pass
            with c.transaction():
                c.execute("INSERT INTO pp_nest VALUES (3)")
        same(c.execute("SELECT id FROM pp_nest ORDER BY id").fetchall(), [(1,), (3,)])


@checks.check
def failed_transaction_is_25P02():
    with connect() as c:
        with raises(errors.DivisionByZero):
            c.execute("SELECT 1/0")
        same(c.info.transaction_status.name, "INERROR")
        with raises(errors.InFailedSqlTransaction):
            c.execute("SELECT 1")
        c.rollback()
        same(c.execute("SELECT 1").fetchone(), (1,))


@checks.check
def transaction_characteristics():
    with connect() as c:
        c.read_only = True
        c.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        same(c.execute("SHOW transaction_isolation").fetchone(), ("serializable",))
        same(c.execute("SHOW transaction_read_only").fetchone(), ("on",))
        with raises(errors.ReadOnlySqlTransaction):
            c.execute("CREATE TABLE pp_never (id int)")


@checks.check
def ddl_rolls_back():
    with connect() as c:
        c.execute("DROP TABLE IF EXISTS pp_ddl_tx")
        c.commit()
        c.execute("CREATE TABLE pp_ddl_tx (id int)")
        c.execute("INSERT INTO pp_ddl_tx VALUES (1)")
        c.rollback()
        with raises(errors.UndefinedTable):
            c.execute("SELECT * FROM pp_ddl_tx")


@checks.check
def serialization_failure_or_wait():
    """Two blocks at REPEATABLE READ change one row: the second loses with 40001."""
    with connect() as a, connect() as b:
        table(a, "pp_ser", "id int primary key, v int", [(1, 0)])
        a.isolation_level = b.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        a.execute("SELECT * FROM pp_ser")
        b.execute("SELECT * FROM pp_ser")
        a.execute("UPDATE pp_ser SET v = v + 1")
        a.commit()
        with raises(errors.SerializationFailure):
            b.execute("UPDATE pp_ser SET v = v + 1")
            b.commit()


@checks.check
def error_classes():
    with connect(autocommit=True) as c:
        table(c, "pp_parent", "id int primary key")
        table(c, "pp_err", "id int primary key, u text unique, n int not null, k int check (k > 0), p int references pp_parent(id)")
        c.execute("INSERT INTO pp_err VALUES (1, 'a', 1, 1, NULL)")
        for statement, kind in (
            ("INSERT INTO pp_err VALUES (1, 'b', 1, 1, NULL)", errors.UniqueViolation),
            ("INSERT INTO pp_err VALUES (2, 'a', 1, 1, NULL)", errors.UniqueViolation),
            ("INSERT INTO pp_err VALUES (2, 'b', NULL, 1, NULL)", errors.NotNullViolation),
            ("INSERT INTO pp_err VALUES (2, 'b', 1, 0, NULL)", errors.CheckViolation),
            ("INSERT INTO pp_err VALUES (2, 'b', 1, 1, 5)", errors.ForeignKeyViolation),
            ("SELEC 1", errors.SyntaxError),
            ("SELECT * FROM pp_nowhere", errors.UndefinedTable),
            ("SELECT nothing FROM pp_err", errors.UndefinedColumn),
            ("SELECT nofunction(1)", errors.UndefinedFunction),
            ("SELECT 'x'::int", errors.InvalidTextRepresentation),
            ("SELECT 2147483647 + 1", errors.NumericValueOutOfRange),
            ("SELECT 1/0", errors.DivisionByZero),
            ("CREATE TABLE pp_err (id int)", errors.DuplicateTable),
            ("SELECT '2024-13-01'::date", errors.DatetimeFieldOverflow),
            ("INSERT INTO pp_err (id, n, id) VALUES (1, 1, 1)", errors.DuplicateColumn),
            ("SELECT id FROM pp_err GROUP BY n", errors.GroupingError),
            ("SELECT id FROM pp_err a, pp_parent b", errors.AmbiguousColumn),
            ("SET no_such_setting = 1", errors.UndefinedObject),
        ):
            with raises(psycopg.Error, kind.sqlstate):
                c.execute(statement)


@checks.check
def error_diagnostics():
    with connect(autocommit=True) as c:
        table(c, "pp_diag", "id int constraint pp_diag_key primary key, n int not null constraint positive check (n > 0)")
        c.execute("INSERT INTO pp_diag VALUES (1, 1)")
        with raises(errors.UniqueViolation) as seen:
            c.execute("INSERT INTO pp_diag VALUES (1, 1)")
        d = seen.error.diag
        same((d.constraint_name, d.table_name, d.schema_name, d.message_detail), ("pp_diag_key", "pp_diag", "public", "Key (id)=(1) already exists."))
        with raises(errors.CheckViolation) as seen:
            c.execute("INSERT INTO pp_diag VALUES (2, 0)")
        same((seen.error.diag.constraint_name, seen.error.diag.table_name), ("positive", "pp_diag"))
        with raises(errors.NotNullViolation) as seen:
            c.execute("INSERT INTO pp_diag VALUES (2, NULL)")
        same((seen.error.diag.column_name, seen.error.diag.severity), ("n", "ERROR"))
        with raises(errors.UndefinedColumn) as seen:
            c.execute("SELECT nothing FROM pp_diag")
        same(seen.error.diag.statement_position, "8")


@checks.check
def copy_text_both_ways():
    with connect() as c:
        table(c, "pp_copy", "id int, t text, d date")
        rows = [(i, None if i % 3 == 0 else f"row\t{i}\\ü", date(2024, 1, 1)) for i in range(100)]
        with c.cursor().copy("COPY pp_copy (id, t, d) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        with c.cursor().copy("COPY (SELECT * FROM pp_copy ORDER BY id) TO STDOUT") as copy:
            copy.set_types(["int4", "text", "date"])
            same(list(copy.rows()), rows)


@checks.check
def copy_binary_both_ways():
    with connect() as c:
        table(c, "pp_copyb", "id int, t text, at timestamptz, n numeric(10,2)")
        types = ["int4", "text", "timestamptz", "numeric"]
        rows = [(i, f"t{i}", datetime(2024, 1, 1, i % 24, tzinfo=timezone.utc), Decimal("1.25")) for i in range(50)]
        with c.cursor().copy("COPY pp_copyb FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
        with c.cursor().copy("COPY (SELECT * FROM pp_copyb ORDER BY id) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(types)
            same(list(copy.rows()), rows)


@checks.check
def copy_csv_and_its_errors():
    with connect(autocommit=True) as c:
        table(c, "pp_copyc", "id int primary key, t text")
        with c.cursor().copy("COPY pp_copyc FROM STDIN WITH (FORMAT csv, HEADER, DELIMITER ';', NULL 'nil')") as copy:
            copy.write('id;t\n1;"a;b"\n2;nil\n')
        same(c.execute("SELECT * FROM pp_copyc ORDER BY id").fetchall(), [(1, "a;b"), (2, None)])
        with raises(errors.InvalidTextRepresentation):
            with c.cursor().copy("COPY pp_copyc FROM STDIN") as copy:
                copy.write("x\ty\n")
        with raises(errors.BadCopyFileFormat):
            with c.cursor().copy("COPY pp_copyc FROM STDIN") as copy:
                copy.write("3\n")
        same(c.execute("SELECT count(*) FROM pp_copyc").fetchone(), (2,))


@checks.check
def listen_and_notify():
    with connect(autocommit=True) as a, connect(autocommit=True) as b:
        a.execute("LISTEN pp_news")
        b.execute("SELECT pg_notify('pp_news', 'hello')")
        b.execute("NOTIFY pp_news, 'again'")
        seen = [(n.channel, n.payload) for n in a.notifies(timeout=5, stop_after=2)]
        same(seen, [("pp_news", "hello"), ("pp_news", "again")])


@checks.check
def notices_reach_the_client():
    with connect(autocommit=True) as c:
        seen = []
        c.add_notice_handler(lambda d: seen.append((d.severity, d.message_primary)))
        c.execute("DROP TABLE IF EXISTS pp_never_was")
        same(seen, [("NOTICE", 'table "pp_never_was" does not exist, skipping')])


@checks.check
def cancel_of_a_running_query():
    with connect() as c:
        threading.Timer(0.3, c.cancel_safe).start()
        with raises(errors.QueryCanceled):
            c.execute("SELECT pg_sleep(20)")


@checks.check
def statement_timeout():
    with connect(options="-c statement_timeout=200") as c:
        start = time.time()
        with raises(errors.QueryCanceled):
            c.execute("SELECT pg_sleep(20)")
        that(time.time() - start < 5, "the timeout came late")


@checks.check
def startup_options_and_application_name():
    with connect(options="-c timezone=Europe/Berlin -c search_path=pg_catalog", application_name="pp_app") as c:
        same(c.execute("SHOW timezone").fetchone(), ("Europe/Berlin",))
        same(c.execute("SELECT current_setting('application_name'), current_setting('search_path')").fetchone(), ("pp_app", "pg_catalog"))
        same(c.info.parameter_status("TimeZone"), "Europe/Berlin")


@checks.check
def time_zones():
    with connect() as c:
        c.execute("SET TIME ZONE 'America/New_York'")
        same(c.info.parameter_status("TimeZone"), "America/New_York")
        seen = c.execute("SELECT '2024-07-01 12:00+00'::timestamptz").fetchone()[0]
        same((seen.isoformat(), str(seen.tzinfo)), ("2024-07-01T08:00:00-04:00", "America/New_York"))
        same(c.execute("SELECT '2024-07-01 12:00'::timestamp AT TIME ZONE 'UTC' AT TIME ZONE 'Asia/Tokyo'").fetchone()[0], datetime(2024, 7, 1, 21))


@checks.check
def set_local_ends_with_the_transaction():
    with connect() as c:
        c.execute("SET LOCAL statement_timeout = '5s'")
        same(c.execute("SHOW statement_timeout").fetchone(), ("5s",))
        c.commit()
        same(c.execute("SHOW statement_timeout").fetchone(), ("0",))
        same(c.execute("SELECT set_config('app.user', 'me', false)").fetchone(), ("me",))
        same(c.execute("SELECT current_setting('app.user'), current_setting('app.none', true)").fetchone(), ("me", None))


@checks.check
def client_encoding():
    with connect() as c:
        same(c.info.encoding, "utf-8")
        c.execute("SET client_encoding TO 'UTF8'")
        same(c.execute("SELECT 'ü'").fetchone(), ("ü",))


@checks.check
def composed_identifiers():
    with connect() as c:
        name = 'Odd "name" %'
        c.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))
        c.execute(sql.SQL("CREATE TABLE {} ({} int)").format(sql.Identifier(name), sql.Identifier("Sel ect")))
        c.execute(sql.SQL("INSERT INTO {} VALUES ({})").format(sql.Identifier(name), sql.Literal(5)))
        same(c.execute(sql.SQL("SELECT {} FROM {}").format(sql.Identifier("Sel ect"), sql.Identifier("public", name))).fetchone(), (5,))


@checks.check
def enum_types_are_registered():
    from psycopg.types.enum import EnumInfo, register_enum

    with connect() as c:
        c.execute("DROP TABLE IF EXISTS pp_enum_t")
        c.execute("DROP TYPE IF EXISTS pp_mood")
        c.execute("CREATE TYPE pp_mood AS ENUM ('sad', 'happy')")
        info = EnumInfo.fetch(c, "pp_mood")
        that(info is not None, "the type is not found")
        same(list(info.labels), ["sad", "happy"])
        register_enum(info, c)
        c.execute("CREATE TABLE pp_enum_t (m pp_mood)")
        same(c.execute("INSERT INTO pp_enum_t VALUES ('sad') RETURNING m").fetchone()[0].name, "sad")
        with raises(errors.InvalidTextRepresentation):
            c.execute("INSERT INTO pp_enum_t VALUES ('angry')")


@checks.check
def type_info_is_found():
    from psycopg.types import TypeInfo

    with connect() as c:
        info = TypeInfo.fetch(c, "jsonb")
        that(info is not None, "jsonb is not found")
        same((info.oid, info.array_oid), (3802, 3807))


@checks.check
def pool_checks_and_resets():
    with ConnectionPool(kwargs=dict(host=HOST, port=PORT, user=USER, password=PASSWORD, dbname=DATABASE), min_size=2, max_size=3,
                        check=ConnectionPool.check_connection, reset=lambda c: (c.execute("DISCARD ALL") if c.autocommit else None)) as pool:
        for i in range(6):
            with pool.connection() as c:
                same(c.execute("SELECT %s::int", (i,)).fetchone(), (i,))


@checks.check
def discard_all():
    with connect(autocommit=True) as c:
        c.execute("SET statement_timeout = '3s'")
        c.execute("PREPARE pp_q AS SELECT 1")
        c.execute("DISCARD ALL")
        same(c.execute("SHOW statement_timeout").fetchone(), ("0",))
        same(c.execute("SELECT count(*) FROM pg_prepared_statements").fetchone(), (0,))


@checks.check
def several_statements_in_one_string():
    with connect(autocommit=True) as c:
        cursor = c.execute("SELECT 1; SELECT 'two', 2; ")
        same(cursor.fetchone(), (1,))
        that(cursor.nextset(), "there is no second result")
        same(cursor.fetchone(), ("two", 2))
        table(c, "pp_multi", "id int primary key")
        with raises(errors.UniqueViolation):
            c.execute("INSERT INTO pp_multi VALUES (1); INSERT INTO pp_multi VALUES (1)")
        same(c.execute("SELECT count(*) FROM pp_multi").fetchone(), (0,))


@checks.check
def empty_query():
    with connect() as c:
        same(c.execute("").pgresult.status, psycopg.pq.ExecStatus.EMPTY_QUERY)
        same(c.execute(" -- nothing\n;").pgresult.status, psycopg.pq.ExecStatus.EMPTY_QUERY)


@checks.check
def temporary_tables():
    with connect() as c, connect() as other:
        c.execute("CREATE TEMP TABLE pp_temp (id int) ON COMMIT PRESERVE ROWS")
        c.execute("INSERT INTO pp_temp VALUES (1)")
        c.commit()
        same(c.execute("SELECT * FROM pp_temp").fetchone(), (1,))
        with raises(errors.UndefinedTable):
            other.execute("SELECT * FROM pp_temp")


@checks.check
def advisory_locks():
    with connect(autocommit=True) as a, connect(autocommit=True) as b:
        same(a.execute("SELECT pg_try_advisory_lock(4711)").fetchone(), (True,))
        same(b.execute("SELECT pg_try_advisory_lock(4711)").fetchone(), (False,))
        same(a.execute("SELECT pg_advisory_unlock(4711)").fetchone(), (True,))
        same(b.execute("SELECT pg_try_advisory_lock(4711)").fetchone(), (True,))


@checks.check
def common_table_expressions_that_write():
    with connect() as c:
        table(c, "pp_cte", "id int primary key, v int", [(1, 1), (2, 2)])
        row = c.execute("WITH gone AS (DELETE FROM pp_cte WHERE id = %s RETURNING *) SELECT v FROM gone", (1,)).fetchone()
        same(row, (1,))


@checks.check
def async_connection():
    import asyncio

    async def main():
        c = await psycopg.AsyncConnection.connect(host=HOST, port=PORT, user=USER, password=PASSWORD, dbname=DATABASE)
        async with c:
            cursor = await c.execute("SELECT %s::int", (5,))
            same(await cursor.fetchone(), (5,))

    asyncio.run(main())


@checks.check
def closed_by_the_server():
    with connect(autocommit=True) as a, connect(autocommit=True) as b:
        same(b.execute("SELECT pg_terminate_backend(%s)", (a.info.backend_pid,)).fetchone(), (True,))
        time.sleep(0.3)
        with raises(psycopg.OperationalError):
            a.execute("SELECT 1")


def travelled(name):
    with connect() as c:
        table(c, name, "id int primary key, v text", [(1, "old"), (2, "gone")])
        at = past_instant()
        c.execute(f"UPDATE {name} SET v = 'new' WHERE id = 1")
        c.execute(f"DELETE FROM {name} WHERE id = 2")
        c.commit()
    return at


PAST = [(1, "old"), (2, "gone")]


@checks.travel
def travels_by_database_name():
    at = travelled("pp_past_db")
    with connect(dbname=f"{DATABASE}@{at}") as c:
        same(c.execute("SELECT * FROM pp_past_db ORDER BY id").fetchall(), PAST)
        with raises(errors.ReadOnlySqlTransaction):
            c.execute("DELETE FROM pp_past_db")


@checks.travel
def travels_by_startup_option():
    at = travelled("pp_past_opt")
    with connect(options=f"-c chronogate.as_of={at}") as c:
        same(c.execute("SELECT * FROM pp_past_opt ORDER BY id", prepare=True).fetchall(), PAST)


@checks.travel
def travels_by_set_local():
    at = travelled("pp_past_set")
    with connect() as c:
        with c.transaction():
            c.execute(sql.SQL("SET LOCAL chronogate.as_of = {}").format(sql.Literal(at)))
            same(c.execute("SELECT * FROM pp_past_set WHERE id = %s", (1,)).fetchall(), PAST[:1])
        same(c.execute("SELECT * FROM pp_past_set ORDER BY id").fetchall(), [(1, "new")])


@checks.travel
def travels_by_parameter():
    at = travelled("pp_past_par")
    with connect() as c:
        same(c.execute("SELECT * FROM pp_past_par FOR SYSTEM_TIME AS OF %s ORDER BY id", (datetime.fromisoformat(at),)).fetchall(), PAST)


checks.main()
