"""asyncpg against the server: everything is prepared and binary; pools, COPY, cursors, codecs."""

import asyncio
import os
import sys
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from io import BytesIO

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import asyncpg
from checks import DATABASE, HOST, PASSWORD, PORT, USER, Checks, past_instant, raises, same, that

checks = Checks("asyncpg")


async def connect(**more):
    settings = dict(host=HOST, port=PORT, user=USER, password=PASSWORD, database=DATABASE, timeout=10, command_timeout=25)
    settings.update(more)
    return await asyncpg.connect(**settings)


def check(function):
    """A check that is given a connection of its own."""

    def run():
        async def main():
            c = await connect()
            try:
                await function(c)
            finally:
                await c.close(timeout=5)

        asyncio.run(main())

    run.__name__ = function.__name__
    return run


async def table(c, name, columns):
    await c.execute(f"DROP TABLE IF EXISTS {name} CASCADE")
    await c.execute(f"CREATE TABLE {name} ({columns})")


@checks.check
@check
async def connects(c):
    same(c.get_server_version().major, 15)
    same(c.get_settings().TimeZone, "UTC")


@checks.check
@check
async def wrong_password(c):
    with raises(asyncpg.InvalidPasswordError):
        await connect(password="wrong")


@checks.check
@check
async def scalars_both_ways(c):
    for value, cast in (
        (5, "int2"), (-7, "int4"), (2**62, "int8"), (1.5, "float4"), (0.1, "float8"), (Decimal("123.4500"), "numeric"), ("ü'", "text"),
        (b"\x00\xff", "bytea"), (True, "bool"), (uuid.UUID(int=9), "uuid"), (date(1999, 12, 31), "date"), (time(1, 2, 3, 4), "time"),
        (datetime(2024, 1, 2, 3, 4, 5, 6), "timestamp"), (datetime(2024, 1, 2, tzinfo=timezone.utc), "timestamptz"),
        (timedelta(days=2, seconds=3), "interval"), ('{"a": 1}', "jsonb"), ('{"a":1}', "json"), ("abc", "varchar"),
    ):
        same(await c.fetchval(f"SELECT $1::{cast}", value), value, cast)


@checks.check
@check
async def arrays_both_ways(c):
    for value, cast in (
        ([1, None, 3], "int4[]"), (["a", None, 'q"'], "text[]"), ([[1, 2], [3, 4]], "int8[]"), ([], "text[]"),
        ([date(2024, 1, 1)], "date[]"), ([uuid.UUID(int=1)], "uuid[]"), ([Decimal("1.5")], "numeric[]"), ([1.5], "float8[]"),
    ):
        same(await c.fetchval(f"SELECT $1::{cast}", value), value, cast)


@checks.check
@check
async def records_and_rows(c):
    row = await c.fetchrow("SELECT 1 AS a, 'x' AS b, NULL AS c")
    same((row["a"], row["b"], row["c"], list(row.keys())), (1, "x", None, ["a", "b", "c"]))
    same(await c.fetchval("SELECT ROW(1, 'x'::text)"), (1, "x"))


@checks.check
@check
async def statement_attributes(c):
    s = await c.prepare("SELECT $1::int4 AS n, $2::text AS t, now() AS at")
    same([p.name for p in s.get_parameters()], ["int4", "text"])
    same([(a.name, a.type.name) for a in s.get_attributes()], [("n", "int4"), ("t", "text"), ("at", "timestamptz")])
    same((await s.fetch(1, "x"))[0][:2], (1, "x"))
    same(s.get_statusmsg(), "SELECT 1")


@checks.check
@check
async def parameters_are_inferred(c):
    await table(c, "ap_infer", "id int8 primary key, t text, n numeric(8,2), at timestamptz, j jsonb, tags text[]")
    for query, expected in (
        ("INSERT INTO ap_infer VALUES ($1, $2, $3, $4, $5, $6)", ["int8", "text", "numeric", "timestamptz", "jsonb", "text[]"]),
        ("INSERT INTO ap_infer (n, id) VALUES ($1, $2), ($3, $4)", ["numeric", "int8", "numeric", "int8"]),
        ("SELECT * FROM ap_infer WHERE id = $1 AND t LIKE $2 LIMIT $3 OFFSET $4", ["int8", "text", "int8", "int8"]),
        ("SELECT * FROM ap_infer WHERE id = ANY($1)", ["int8[]"]),
        ("SELECT * FROM ap_infer WHERE (id, t) = ($1, $2)", ["int8", "text"]),
        ("SELECT * FROM ap_infer WHERE id IN ($1, $2) AND at BETWEEN $3 AND $4", ["int8", "int8", "timestamptz", "timestamptz"]),
        ("UPDATE ap_infer SET t = $1, n = n + $2, at = coalesce($3, at) WHERE id = $4", ["text", "numeric", "timestamptz", "int8"]),
        ("DELETE FROM ap_infer WHERE at < $1 RETURNING id", ["timestamptz"]),
        ("SELECT $1::int + 1, upper($2), $3 || 'x'", ["int4", "text", "text"]),
        ("SELECT CASE WHEN id > $1 THEN n ELSE $2 END FROM ap_infer", ["int8", "numeric"]),
        ("SELECT * FROM generate_series($1::int, $2)", ["int4", "int4"]),
        ("SELECT * FROM unnest($1::int[], $2::text[]) AS u(a, b)", ["int4[]", "text[]"]),
    ):
        s = await c.prepare(query)
        same([p.name for p in s.get_parameters()], expected, query)


@checks.check
@check
async def inserts_and_status(c):
    await table(c, "ap_ins", "id serial primary key, t text not null")
    same(await c.execute("INSERT INTO ap_ins (t) VALUES ($1)", "a"), "INSERT 0 1")
    same(await c.fetchval("INSERT INTO ap_ins (t) VALUES ($1) RETURNING id", "b"), 2)
    same(await c.execute("UPDATE ap_ins SET t = $1 WHERE id < $2", "z", 10), "UPDATE 2")
    same(await c.execute("DELETE FROM ap_ins"), "DELETE 2")
    same(await c.execute("SELECT 1; SELECT 2"), "SELECT 1")


@checks.check
@check
async def executemany_is_atomic(c):
    await table(c, "ap_many", "id int primary key, t text")
    await c.executemany("INSERT INTO ap_many VALUES ($1, $2)", [(i, str(i)) for i in range(100)])
    same(await c.fetchval("SELECT count(*) FROM ap_many"), 100)
    with raises(asyncpg.UniqueViolationError):
        await c.executemany("INSERT INTO ap_many VALUES ($1, $2)", [(200, "x"), (1, "x")])
    same(await c.fetchval("SELECT count(*) FROM ap_many"), 100)


@checks.check
@check
async def unnest_insert(c):
    await table(c, "ap_unnest", "id int primary key, t text")
    await c.execute("INSERT INTO ap_unnest SELECT * FROM unnest($1::int[], $2::text[])", [1, 2], ["a", None])
    same([tuple(r) for r in await c.fetch("SELECT * FROM ap_unnest ORDER BY id")], [(1, "a"), (2, None)])


@checks.check
@check
async def copy_records(c):
    await table(c, "ap_copy", "id int, t text, at timestamptz, n numeric, f float8, b bool, u uuid, tags text[]")
    at = datetime(2024, 1, 1, tzinfo=timezone.utc)
    records = [(i, f"t{i}", at, Decimal(i), i / 2, i % 2 == 0, uuid.UUID(int=i), ["a", None]) for i in range(200)]
    same(await c.copy_records_to_table("ap_copy", records=records), "COPY 200")
    same([tuple(r) for r in await c.fetch("SELECT * FROM ap_copy ORDER BY id")], records)


@checks.check
@check
async def copy_csv_in_and_out(c):
    await table(c, "ap_csv", "id int, t text")
    same(await c.copy_to_table("ap_csv", source=BytesIO(b'id,t\n1,"a,b"\n2,\n'), format="csv", header=True), "COPY 2")
    out = BytesIO()
    same(await c.copy_from_query("SELECT * FROM ap_csv WHERE id > $1 ORDER BY id", 0, output=out, format="csv"), "COPY 2")
    same(out.getvalue(), b'1,"a,b"\n2,\n')
    out = BytesIO()
    await c.copy_from_table("ap_csv", columns=["id"], output=out)
    same(sorted(out.getvalue().split()), [b"1", b"2"])


@checks.check
@check
async def cursor_iteration(c):
    async with c.transaction():
        same([r[0] async for r in c.cursor("SELECT g FROM generate_series(1, $1::int) g", 120, prefetch=25)], list(range(1, 121)))
        cursor = await c.cursor("SELECT g FROM generate_series(1, 10) g")
        same([r[0] for r in await cursor.fetch(3)], [1, 2, 3])
        same(await cursor.forward(2), 2)
        same((await cursor.fetchrow())[0], 6)


@checks.check
@check
async def transactions_nest(c):
    await table(c, "ap_tx", "id int primary key")
    async with c.transaction():
        await c.execute("INSERT INTO ap_tx VALUES (1)")
        with raises(asyncpg.UniqueViolationError):
            async with c.transaction():
                await c.execute("INSERT INTO ap_tx VALUES (2)")
                await c.execute("INSERT INTO ap_tx VALUES (1)")
        async with c.transaction():
            await c.execute("INSERT INTO ap_tx VALUES (3)")
    same([r[0] for r in await c.fetch("SELECT id FROM ap_tx ORDER BY 1")], [1, 3])


@checks.check
@check
async def transaction_options(c):
    async with c.transaction(isolation="serializable", readonly=True, deferrable=True):
        same(await c.fetchval("SHOW transaction_isolation"), "serializable")
        with raises(asyncpg.ReadOnlySQLTransactionError):
            async with c.transaction():
                await c.execute("CREATE TABLE ap_no (id int)")
    async with c.transaction(isolation="repeatable_read"):
        same(await c.fetchval("SELECT current_setting('transaction_isolation')"), "repeatable read")


@checks.check
@check
async def failed_transaction(c):
    tr = c.transaction()
    await tr.start()
    with raises(asyncpg.DivisionByZeroError):
        await c.fetchval("SELECT 1/0")
    with raises(asyncpg.InFailedSQLTransactionError):
        await c.fetchval("SELECT 1")
    await tr.rollback()
    same(await c.fetchval("SELECT 1"), 1)


@checks.check
@check
async def error_classes_and_fields(c):
    await table(c, "ap_par", "id int primary key")
    await table(c, "ap_err", "id int primary key, k int constraint ap_pos check (k > 0), n int not null, p int constraint ap_fk references ap_par")
    for query, kind, constraint in (
        ("INSERT INTO ap_err VALUES (1, 0, 1)", asyncpg.CheckViolationError, "ap_pos"),
        ("INSERT INTO ap_err VALUES (1, 1, NULL)", asyncpg.NotNullViolationError, None),
        ("INSERT INTO ap_err VALUES (1, 1, 1, 1)", asyncpg.ForeignKeyViolationError, "ap_fk"),
        ("SELECT * FROM ap_nothing", asyncpg.UndefinedTableError, None),
        ("SELECT x FROM ap_err", asyncpg.UndefinedColumnError, None),
        ("SELECT FROM WHERE", asyncpg.PostgresSyntaxError, None),
        ("SELECT nofun(1)", asyncpg.UndefinedFunctionError, None),
        ("CREATE TABLE ap_err (a int)", asyncpg.DuplicateTableError, None),
    ):
        with raises(kind) as seen:
            await c.fetch(query)
        same(seen.error.constraint_name, constraint)


@checks.check
@check
async def bad_parameter_is_told_by_the_client(c):
    with raises(asyncpg.DataError):
        await c.fetchval("SELECT $1::int", "x")


@checks.check
@check
async def statement_cache_survives_schema_change(c):
    await table(c, "ap_cache", "id int primary key")
    await c.fetch("SELECT * FROM ap_cache")
    await c.execute("ALTER TABLE ap_cache ADD COLUMN t text")
    await c.execute("INSERT INTO ap_cache VALUES (1, 'x')")
    same([tuple(r) for r in await c.fetch("SELECT * FROM ap_cache")], [(1, "x")])


@checks.check
@check
async def json_codec(c):
    import json

    await c.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    same(await c.fetchval("SELECT $1::jsonb", {"a": [1, {"b": None}]}), {"a": [1, {"b": None}]})


@checks.check
@check
async def enum_type_and_array_of_it(c):
    await c.execute("DROP TYPE IF EXISTS ap_color CASCADE")
    await c.execute("CREATE TYPE ap_color AS ENUM ('red', 'blue')")
    same(await c.fetchval("SELECT $1::ap_color", "blue"), "blue")
    same(await c.fetchval("SELECT $1::ap_color[]", ["red"]), ["red"])
    with raises(asyncpg.InvalidTextRepresentationError):
        await c.fetchval("SELECT $1::ap_color", "green")


@checks.check
@check
async def composite_type(c):
    await c.execute("DROP TYPE IF EXISTS ap_pair CASCADE")
    await c.execute("CREATE TYPE ap_pair AS (a int, b text)")
    same(tuple(await c.fetchval("SELECT ROW(1, 'x')::ap_pair")), (1, "x"))


@checks.check
@check
async def domain_type(c):
    await c.execute("DROP DOMAIN IF EXISTS ap_posint CASCADE")
    await c.execute("CREATE DOMAIN ap_posint AS int CHECK (VALUE > 0)")
    same(await c.fetchval("SELECT $1::ap_posint", 5), 5)
    with raises(asyncpg.CheckViolationError):
        await c.fetchval("SELECT (-1)::ap_posint")


@checks.check
@check
async def ranges(c):
    same(await c.fetchval("SELECT $1::int4range", asyncpg.Range(1, 5)), asyncpg.Range(1, 5))


@checks.check
@check
async def listeners(c):
    got = asyncio.get_running_loop().create_future()
    await c.add_listener("ap_news", lambda _c, _pid, channel, payload: got.set_result((channel, payload)))
    other = await connect()
    await other.execute("NOTIFY ap_news, 'hi'")
    same(await asyncio.wait_for(got, 5), ("ap_news", "hi"))
    await other.close()


@checks.check
@check
async def log_listener(c):
    seen = []
    c.add_log_listener(lambda _c, message: seen.append(message.message))
    await c.execute("DROP TABLE IF EXISTS ap_never")
    await asyncio.sleep(0.1)
    same(seen, ['table "ap_never" does not exist, skipping'])


@checks.check
@check
async def timeout_cancels_and_leaves_the_connection_usable(c):
    with raises(asyncio.TimeoutError):
        await c.fetchval("SELECT pg_sleep(10)", timeout=0.3)
    same(await c.fetchval("SELECT 1"), 1)


@checks.check
@check
async def reset_query(c):
    await c.execute("SET statement_timeout = '9s'")
    await c.reset()
    same(await c.fetchval("SHOW statement_timeout"), "0")


@checks.check
@check
async def pool_resets_between_users(c):
    async with asyncpg.create_pool(host=HOST, port=PORT, user=USER, password=PASSWORD, database=DATABASE, min_size=1, max_size=1) as pool:
        async with pool.acquire() as one:
            await one.execute("SET statement_timeout = '8s'")
            await one.execute("LISTEN ap_left")
        async with pool.acquire() as one:
            same(await one.fetchval("SHOW statement_timeout"), "0")
        same(await pool.fetchval("SELECT $1::text", "x"), "x")


@checks.check
@check
async def pool_under_concurrency(c):
    await table(c, "ap_conc", "id int primary key, v int")
    await c.execute("INSERT INTO ap_conc VALUES (1, 0)")
    async with asyncpg.create_pool(host=HOST, port=PORT, user=USER, password=PASSWORD, database=DATABASE, min_size=4, max_size=4) as pool:
        await asyncio.gather(*(pool.execute("UPDATE ap_conc SET v = v + 1 WHERE id = $1", 1) for _ in range(40)))
    same(await c.fetchval("SELECT v FROM ap_conc"), 40)


@checks.check
@check
async def server_settings(c):
    other = await connect(server_settings={"application_name": "ap", "timezone": "Asia/Tokyo", "search_path": "pg_catalog,public"})
    same(await other.fetchval("SELECT current_setting('application_name') || ' ' || current_setting('TimeZone')"), "ap Asia/Tokyo")
    await other.close()


@checks.check
@check
async def introspection_of_arrays_and_schemas(c):
    await c.execute("DROP SCHEMA IF EXISTS ap_schema CASCADE")
    await c.execute("CREATE SCHEMA ap_schema")
    await c.execute("CREATE TABLE ap_schema.t (id int primary key, tags text[])")
    await c.execute("INSERT INTO ap_schema.t VALUES ($1, $2)", 1, ["x"])
    same(await c.fetchval("SELECT tags[1] FROM ap_schema.t"), "x")
    same(await c.fetchval("SELECT array_agg(nspname ORDER BY nspname) FROM pg_namespace WHERE nspname LIKE 'ap!_%' ESCAPE '!'"), ["ap_schema"])


@checks.check
@check
async def big_result_and_big_value(c):
    same(len(await c.fetch("SELECT g, repeat('x', 100) FROM generate_series(1, 5000) g")), 5000)
    text = "ü" * 500_000
    same(await c.fetchval("SELECT length($1)", text), 500_000)


@checks.travel
@check
async def travels(c):
    await table(c, "ap_past", "id int primary key, v text")
    await c.execute("INSERT INTO ap_past VALUES (1, 'old')")
    at = past_instant()
    await c.execute("UPDATE ap_past SET v = 'new'")
    for more in (dict(database=f"{DATABASE}@{at}"), dict(server_settings={"chronogate.as_of": at}), dict(server_settings={"options": f"-c chronogate.as_of={at}"})):
        past = await connect(**more)
        same(await past.fetchval("SELECT v FROM ap_past WHERE id = $1", 1), "old")
        await past.close()
    async with c.transaction():
        await c.execute(f"SET LOCAL chronogate.as_of = '{at}'")
        same(await c.fetchval("SELECT v FROM ap_past WHERE id = $1", 1), "old")
    same(await c.fetchval("SELECT v FROM ap_past WHERE id = $1", 1), "new")
    then = datetime.fromisoformat(at)
    same(await c.fetchval("SELECT v FROM ap_past FOR SYSTEM_TIME AS OF $1 WHERE id = $2", then, 1), "old")


checks.main()
