// node-postgres (pg, pg-cursor, pg-query-stream, pg-copy-streams) against the server.

const { Client, Pool, types } = require('pg')
const Cursor = require('pg-cursor')
const QueryStream = require('pg-query-stream')
const { from: copyFrom, to: copyTo } = require('pg-copy-streams')
const { pipeline } = require('node:stream/promises')
const { Readable, Writable } = require('node:stream')
const { connection, same, that, fails, sleep, pastInstant, run } = require('../checks.cjs')

async function withClient(use, more = {}) {
  const client = new Client({ ...connection, ...more })
  client.on('error', () => {})
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

const on = (use, more) => () => withClient(use, more)
const rows = async (c, text, values) => (await c.query({ text, values, rowMode: 'array' })).rows

async function table(c, name, columns) {
  await c.query(`DROP TABLE IF EXISTS ${name} CASCADE`)
  await c.query(`CREATE TABLE ${name} (${columns})`)
}

const checks = {
  connects: on(async (c) => {
    same(await rows(c, 'SELECT 1, $1::text', ['x']), [[1, 'x']])
    that((await rows(c, 'SELECT version()'))[0][0].startsWith('PostgreSQL 15'), 'version()')
  }),
  wrong_password: async () => {
    await fails(withClient(async () => {}, { password: 'wrong' }), '28P01')
  },
  unknown_database: async () => {
    await fails(withClient(async () => {}, { database: 'np_nowhere' }), '3D000')
  },
  types_by_text: on(async (c) => {
    const [row] = await rows(c, `SELECT 1::int2, 2::int4, 3::int8, 1.5::float8, 1.50::numeric, true, 'x'::varchar, '{"a":1}'::jsonb, '{1,2}'::int[], '{a,NULL}'::text[], NULL`)
    same(row, [1, 2, '3', 1.5, '1.50', true, 'x', { a: 1 }, [1, 2], ['a', null], null])
  }),
  literals_are_int4: on(async (c) => {
    same(await rows(c, 'SELECT 1, 2147483648, 1.0'), [[1, '2147483648', '1.0']])
  }),
  dates: on(async (c) => {
    const at = new Date('2024-05-06T07:08:09.010Z')
    same((await rows(c, 'SELECT $1::timestamptz', [at]))[0][0].getTime(), at.getTime())
    same((await rows(c, "SELECT '2024-01-02'::date"))[0][0].getFullYear(), 2024)
    same((await rows(c, "SELECT '1 day 02:03:04'::interval"))[0][0].toPostgres(), '4 seconds 3 minutes 2 hours 1 days')
  }),
  buffers: on(async (c) => {
    const data = Buffer.from([0, 255, 39, 92])
    same((await rows(c, 'SELECT $1::bytea', [data]))[0][0], data)
  }),
  binary_results: on(async (c) => {
    const { rows: seen } = await c.query({ text: 'SELECT 7::int4 AS i, true AS b, 1.5::float8 AS f, 2::int8 AS l', binary: true, rowMode: 'array' })
    same(seen[0], [7, true, 1.5, '2'])
  }),
  json_parameters: on(async (c) => {
    const value = { a: [1, { b: null }], ü: 'x' }
    same(await rows(c, 'SELECT $1::jsonb, $2::json', [value, JSON.stringify(value)]), [[value, value]])
  }),
  arrays_as_parameters: on(async (c) => {
    same(await rows(c, 'SELECT $1::int[], $2::text[], $3::text[]', [[1, null], ['a', 'b"c', null], []]), [[[1, null], ['a', 'b"c', null], []]])
    same(await rows(c, 'SELECT g FROM generate_series(1, 5) AS g WHERE g = ANY($1) ORDER BY 1', [[2, 4]]), [[2], [4]])
  }),
  limit_and_offset: on(async (c) => {
    same(await rows(c, 'SELECT g FROM generate_series(1, 9) AS g ORDER BY g LIMIT $1 OFFSET $2', [2, 3]), [[4], [5]])
  }),
  untyped_parameters: on(async (c) => {
    same(await rows(c, 'SELECT $1 AS a, $2 || $3 AS b, coalesce($4, $5) AS c', ['x', 'y', 'z', null, 'd']), [['x', 'yz', 'd']])
  }),
  column_descriptions: on(async (c) => {
    await table(c, 'np_desc', 'id int, v varchar(7), n numeric(8,3)')
    const { fields, command, rowCount } = await c.query('SELECT id, v, n, count(*) OVER () FROM np_desc')
    same(fields.map((f) => [f.name, f.dataTypeID, f.dataTypeModifier]), [['id', 23, -1], ['v', 1043, 11], ['n', 1700, 524295], ['count', 20, -1]])
    that(fields[0].tableID > 0 && fields[0].columnID === 1 && fields[1].columnID === 2 && fields[3].tableID === 0, 'tables of the columns')
    same([command, rowCount], ['SELECT', 0])
  }),
  inserts_with_returning: on(async (c) => {
    await table(c, 'np_ins', "id serial primary key, t text, at timestamptz default now(), n int default 7")
    const result = await c.query('INSERT INTO np_ins (t) VALUES ($1), ($2) RETURNING id, t, n', ['a', 'b'])
    same([result.rows, result.rowCount, result.command], [[{ id: 1, t: 'a', n: 7 }, { id: 2, t: 'b', n: 7 }], 2, 'INSERT'])
    same((await c.query('UPDATE np_ins SET t = $1 WHERE id = $2', ['z', 1])).rowCount, 1)
    same((await c.query('UPDATE np_ins SET t = $1 WHERE id = $2', ['z', 99])).rowCount, 0)
    same((await c.query('DELETE FROM np_ins RETURNING *')).rows.length, 2)
  }),
  dates_and_numbers_into_columns: on(async (c) => {
    await table(c, 'np_cols', 'id int primary key, n numeric(10,2), f float8, b bool, d date, at timestamptz, j jsonb, a text[], u uuid, x bytea')
    const at = new Date('2024-01-01T00:00:00Z')
    await c.query('INSERT INTO np_cols VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)', [1, '1.5', 0.5, true, '2024-02-03', at, { k: 1 }, ['q'], '00000000-0000-0000-0000-000000000001', Buffer.from('x')])
    const [row] = await rows(c, 'SELECT n, f, b, d::text, at, j, a, u, x FROM np_cols WHERE id = $1', ['1'])
    same(row, ['1.50', 0.5, true, '2024-02-03', at, { k: 1 }, ['q'], '00000000-0000-0000-0000-000000000001', Buffer.from('x')])
  }),
  upsert: on(async (c) => {
    await table(c, 'np_up', 'k text primary key, n int')
    const text = 'INSERT INTO np_up (k, n) VALUES ($1, $2) ON CONFLICT (k) DO UPDATE SET n = np_up.n + EXCLUDED.n RETURNING n'
    same(await rows(c, text, ['a', 1]), [[1]])
    same(await rows(c, text, ['a', 5]), [[6]])
  }),
  named_statements_are_reused: on(async (c) => {
    for (let i = 0; i < 5; i++) same((await c.query({ name: 'np_named', text: 'SELECT $1::int + 1 AS n', values: [i] })).rows, [{ n: i + 1 }])
    same(await rows(c, "SELECT count(*)::int FROM pg_prepared_statements WHERE name = 'np_named'"), [[1]])
  }),
  named_statement_after_ddl: on(async (c) => {
    await table(c, 'np_ddl', 'id int primary key')
    await c.query('INSERT INTO np_ddl VALUES (1)')
    const query = { name: 'np_after', text: 'SELECT id FROM np_ddl WHERE id = $1', values: [1] }
    await c.query(query)
    await c.query("ALTER TABLE np_ddl ADD COLUMN t text DEFAULT 'x'")
    same((await c.query(query)).rows, [{ id: 1 }])
  }),
  several_statements: on(async (c) => {
    const results = await c.query('SELECT 1 AS a; CREATE TEMP TABLE np_t (id int); INSERT INTO np_t VALUES (1), (2); SELECT count(*)::int AS n FROM np_t')
    same(results.map((r) => r.command), ['SELECT', 'CREATE', 'INSERT', 'SELECT'])
    same(results[3].rows, [{ n: 2 }])
  }),
  empty_query: on(async (c) => {
    same((await c.query('')).rows, [])
    same((await c.query('', [])).rows, [])
    same((await c.query('SELECT')).rowCount, 1)
  }),
  transaction: on(async (c) => {
    await table(c, 'np_tx', 'id int primary key')
    await c.query('BEGIN')
    await c.query('INSERT INTO np_tx VALUES (1)')
    await withClient(async (other) => same(await rows(other, 'SELECT count(*)::int FROM np_tx'), [[0]]))
    await c.query('ROLLBACK')
    same(await rows(c, 'SELECT count(*)::int FROM np_tx'), [[0]])
  }),
  savepoints: on(async (c) => {
    await table(c, 'np_sp', 'id int primary key')
    await c.query('BEGIN')
    await c.query('INSERT INTO np_sp VALUES (1)')
    await c.query('SAVEPOINT a')
    await fails(c.query('INSERT INTO np_sp VALUES ($1)', [1]), '23505')
    await fails(c.query('SELECT 1'), '25P02')
    await c.query('ROLLBACK TO SAVEPOINT a')
    await c.query('SAVEPOINT b')
    await c.query('INSERT INTO np_sp VALUES (3)')
    await c.query('RELEASE SAVEPOINT b')
    await c.query('COMMIT')
    same(await rows(c, 'SELECT id FROM np_sp ORDER BY id'), [[1], [3]])
  }),
  commit_of_a_failed_block_rolls_back: on(async (c) => {
    await c.query('BEGIN')
    await fails(c.query('SELECT 1/0'), '22012')
    same((await c.query('COMMIT')).command, 'ROLLBACK')
  }),
  error_fields: on(async (c) => {
    await table(c, 'np_err', 'id int constraint np_pk primary key, n int not null, k int constraint np_ck check (k > 0), p int constraint np_fk references np_err')
    await c.query('INSERT INTO np_err VALUES (1, 1, 1)')
    const pick = ({ code, constraint, table, column, schema, detail }) => ({ code, constraint, table, column, schema, detail })
    same(pick(await fails(c.query('INSERT INTO np_err VALUES ($1, 1)', [1]))), { code: '23505', constraint: 'np_pk', table: 'np_err', column: undefined, schema: 'public', detail: 'Key (id)=(1) already exists.' })
    same(pick(await fails(c.query('INSERT INTO np_err VALUES (2, NULL)'))), { code: '23502', constraint: undefined, table: 'np_err', column: 'n', schema: 'public', detail: 'Failing row contains (2, null, null, null).' })
    same(pick(await fails(c.query('INSERT INTO np_err VALUES (2, 1, 0)'))), { code: '23514', constraint: 'np_ck', table: 'np_err', column: undefined, schema: 'public', detail: 'Failing row contains (2, 1, 0, null).' })
    same(pick(await fails(c.query('INSERT INTO np_err VALUES (2, 1, 1, 9)'))), { code: '23503', constraint: 'np_fk', table: 'np_err', column: undefined, schema: 'public', detail: 'Key (p)=(9) is not present in table "np_err".' })
    const error = await fails(c.query('SELECT id, nope FROM np_err'), '42703')
    same([error.position, error.severity, error.message], ['12', 'ERROR', 'column "nope" does not exist'])
    same((await fails(c.query('SELECT * FROM np_none'), '42P01')).position, '15')
    same((await fails(c.query('SELEC 1'), '42601')).position, '1')
    same((await fails(c.query("SELECT * FROM np_err WHERE id = 'x'"), '22P02')).message, 'invalid input syntax for type integer: "x"')
  }),
  error_in_the_extended_protocol_leaves_it_usable: on(async (c) => {
    await fails(c.query('SELECT $1::int', ['x']), '22P02')
    same(await rows(c, 'SELECT $1::int', [5]), [[5]])
  }),
  wrong_number_of_parameters: on(async (c) => {
    await fails(c.query('SELECT $1::int, $2::int', [1]), '08P01')
    same(await rows(c, 'SELECT 1'), [[1]])
  }),
  queued_queries_answer_in_order: on(async (c) => {
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => rows(c, 'SELECT $1::int', [i])))
    same(answers.map((a) => a[0][0]), Array.from({ length: 20 }, (_, i) => i))
  }),
  cursor: on(async (c) => {
    const cursor = c.query(new Cursor('SELECT g FROM generate_series(1, $1::int) AS g', [25]))
    const sizes = []
    for (;;) {
      const batch = await cursor.read(10)
      if (!batch.length) break
      sizes.push(batch.length)
    }
    same(sizes, [10, 10, 5])
    await cursor.close()
    same(await rows(c, 'SELECT 1'), [[1]])
  }),
  cursor_closed_early: on(async (c) => {
    const cursor = c.query(new Cursor('SELECT g FROM generate_series(1, 1000) AS g'))
    same((await cursor.read(3)).length, 3)
    await cursor.close()
    same(await rows(c, 'SELECT 2'), [[2]])
  }),
  query_stream: on(async (c) => {
    let sum = 0
    for await (const row of c.query(new QueryStream('SELECT g FROM generate_series(1, $1::int) AS g', [300], { batchSize: 50 }))) sum += row.g
    same(sum, 45150)
  }),
  copy_in_and_out: on(async (c) => {
    await table(c, 'np_copy', 'id int, t text')
    const input = c.query(copyFrom("COPY np_copy FROM STDIN WITH (FORMAT csv, NULL 'nil')"))
    await pipeline(Readable.from(['1,"a,b"\n', '2,nil\n']), input)
    same(input.rowCount, 2)
    const chunks = []
    await pipeline(c.query(copyTo('COPY (SELECT * FROM np_copy ORDER BY id) TO STDOUT')), new Writable({ write: (d, _, done) => { chunks.push(d); done() } }))
    same(Buffer.concat(chunks).toString(), '1\ta,b\n2\t\\N\n')
  }),
  copy_error_leaves_the_connection_usable: on(async (c) => {
    await table(c, 'np_copye', 'id int')
    await fails(pipeline(Readable.from(['x\n']), c.query(copyFrom('COPY np_copye FROM STDIN'))), '22P02')
    same(await rows(c, 'SELECT count(*)::int FROM np_copye'), [[0]])
  }),
  listen_and_notify: on(async (c) => {
    const got = new Promise((resolve) => c.on('notification', (m) => resolve([m.channel, m.payload])))
    await c.query('LISTEN np_news')
    await withClient((other) => other.query("SELECT pg_notify('np_news', $1)", ['hé']))
    same(await got, ['np_news', 'hé'])
  }),
  notices: on(async (c) => {
    const got = new Promise((resolve) => c.on('notice', (m) => resolve(m.message)))
    await c.query('DROP TABLE IF EXISTS np_never')
    same(await got, 'table "np_never" does not exist, skipping')
  }),
  statement_timeout: on(async (c) => {
    await fails(c.query('SELECT pg_sleep(10)'), '57014')
    same(await rows(c, 'SELECT 1'), [[1]])
  }, { statement_timeout: 200 }),
  idle_in_transaction_timeout: on(async (c) => {
    const ended = new Promise((resolve) => c.on('error', (e) => resolve(e.code)))
    await c.query('BEGIN')
    same(await ended, '25P03')
  }, { idle_in_transaction_session_timeout: 200 }),
  cancel_by_another_session: on(async (c) => {
    const [[pid]] = await rows(c, 'SELECT pg_backend_pid()')
    const slept = fails(c.query('SELECT pg_sleep(10)'), '57014')
    await sleep(200)
    await withClient(async (other) => same(await rows(other, 'SELECT pg_cancel_backend($1)', [pid]), [[true]]))
    await slept
  }),
  startup_settings: on(async (c) => {
    same(await rows(c, "SELECT current_setting('application_name'), current_setting('TimeZone')"), [['np', 'Asia/Tokyo']])
  }, { application_name: 'np', options: '-c TimeZone=Asia/Tokyo' }),
  activity_shows_the_application: on(async (c) => {
    same(await rows(c, 'SELECT application_name, state FROM pg_stat_activity WHERE pid = pg_backend_pid()'), [['np_act', 'active']])
  }, { application_name: 'np_act' }),
  pool: async () => {
    const pool = new Pool({ ...connection, max: 3 })
    const answers = await Promise.all(Array.from({ length: 12 }, (_, i) => pool.query('SELECT $1::int AS i', [i])))
    same(answers.map((a) => a.rows[0].i), Array.from({ length: 12 }, (_, i) => i))
    same(pool.totalCount, 3)
    await pool.end()
  },
  concurrent_updates_lose_nothing: async () => {
    const pool = new Pool({ ...connection, max: 8 })
    await pool.query('DROP TABLE IF EXISTS np_conc')
    await pool.query('CREATE TABLE np_conc (id int primary key, n int)')
    await pool.query('INSERT INTO np_conc VALUES (1, 0)')
    await Promise.all(Array.from({ length: 64 }, () => pool.query('UPDATE np_conc SET n = n + 1 WHERE id = $1', [1])))
    same((await pool.query('SELECT n FROM np_conc')).rows, [{ n: 64 }])
    await pool.end()
  },
  unicode_and_big_values: on(async (c) => {
    const text = 'ü€𝄞'.repeat(50_000)
    same(await rows(c, 'SELECT length($1), $1', [text]), [[150_000, text]])
  }),
  duplicate_names_and_expressions: on(async (c) => {
    const { fields } = await c.query("SELECT 1 AS a, 2 AS a, now(), 1 + 1, 'x', CASE WHEN true THEN 1 END, 1::int8, coalesce(1, 2), max(1), ARRAY[1], (SELECT 5 AS inner_name), EXISTS (SELECT 1), current_date, 'a'::text || 'b'")
    same(fields.map((f) => f.name), ['a', 'a', 'now', '?column?', '?column?', 'case', 'int8', 'coalesce', 'max', 'array', 'inner_name', 'exists', 'current_date', '?column?'])
  }),
  catalogue: on(async (c) => {
    await table(c, 'np_cat', 'id int primary key, v text not null')
    same(await rows(c, "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position", ['np_cat']), [['id', 'integer', 'NO'], ['v', 'text', 'NO']])
    same(await rows(c, "SELECT conname, contype FROM pg_constraint WHERE conrelid = $1::regclass", ['np_cat']), [['np_cat_pkey', 'p']])
    same(await rows(c, "SELECT indexdef FROM pg_indexes WHERE tablename = 'np_cat'"), [['CREATE UNIQUE INDEX np_cat_pkey ON public.np_cat USING btree (id)']])
  }),
}

const travels = {
  travels: on(async (c) => {
    await table(c, 'np_past', 'id int primary key, v text')
    await c.query("INSERT INTO np_past VALUES (1, 'old')")
    const at = await pastInstant()
    await c.query("UPDATE np_past SET v = 'new'")
    const read = (client) => rows(client, 'SELECT v FROM np_past WHERE id = $1', [1])
    same(await withClient(read, { database: `${connection.database}@${at}` }), [['old']])
    same(await withClient(read, { options: `-c chronogate.as_of=${at}` }), [['old']])
    await c.query('BEGIN')
    await c.query(`SET LOCAL chronogate.as_of = '${at}'`)
    same(await read(c), [['old']])
    await c.query('COMMIT')
    same(await read(c), [['new']])
    same(await rows(c, 'SELECT v FROM np_past FOR SYSTEM_TIME AS OF $1', [at]), [['old']])
    await withClient((past) => fails(past.query('DELETE FROM np_past'), '25006'), { database: `${connection.database}@${at}` })
  }),
}

run('node_pg', checks, travels)
