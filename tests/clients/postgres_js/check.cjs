// postgres.js against the server: everything prepared, types asked from the server, pipelined.

const postgres = require('postgres')
const { connection, same, that, fails, pastInstant, run } = require('../checks.cjs')

const open = (more = {}) => postgres({ ...connection, username: connection.user, onnotice: () => {}, idle_timeout: 1, ...more })
const on = (use, more) => async () => {
  const sql = open(more)
  try {
    await use(sql)
  } finally {
    await sql.end({ timeout: 2 })
  }
}

async function table(sql, name, columns) {
  await sql.unsafe(`DROP TABLE IF EXISTS ${name} CASCADE`)
  await sql.unsafe(`CREATE TABLE ${name} (${columns})`)
}

const checks = {
  connects: on(async (sql) => same(await sql`SELECT 1 AS a, ${'x'} AS b`, [{ a: 1, b: 'x' }])),
  types_there_and_back: on(async (sql) => {
    const at = new Date('2024-01-02T03:04:05.678Z')
    const [row] = await sql`SELECT ${1}::int AS i, ${'5'}::int8 AS l, ${1.5}::float8 AS f, ${'1.50'}::numeric AS n, ${true}::bool AS b, ${at}::timestamptz AS at,
      ${sql.json({ a: [1] })}::jsonb AS j, ${Buffer.from([0, 255])}::bytea AS x, ${null}::text AS z`
    same(row, { i: 1, l: '5', f: 1.5, n: '1.50', b: true, at, j: { a: [1] }, x: Buffer.from([0, 255]), z: null })
  }),
  arrays: on(async (sql) => {
    same(await sql`SELECT ${[1, 2]}::int[] AS a, ${['x', 'y']}::text[] AS b`, [{ a: [1, 2], b: ['x', 'y'] }])
    same(await sql`SELECT g FROM generate_series(1, 5) AS g WHERE g = ANY(${[2, 3]}) ORDER BY g`, [{ g: 2 }, { g: 3 }])
  }),
  in_lists_and_helpers: on(async (sql) => {
    await table(sql, 'pj_help', 'id int primary key, name text, n int')
    await sql`INSERT INTO pj_help ${sql([{ id: 1, name: 'a', n: 5 }, { id: 2, name: 'b', n: 6 }])}`
    same(await sql`SELECT id FROM pj_help WHERE id IN ${sql([1, 9])}`, [{ id: 1 }])
    await sql`UPDATE pj_help SET ${sql({ name: 'z', n: 9 }, 'name', 'n')} WHERE id = ${1}`
    same(await sql`SELECT ${sql(['name', 'n'])} FROM ${sql('pj_help')} WHERE id = 1`, [{ name: 'z', n: 9 }])
  }),
  limit_offset: on(async (sql) => same(await sql`SELECT g FROM generate_series(1, 9) AS g LIMIT ${2} OFFSET ${4}`, [{ g: 5 }, { g: 6 }])),
  result_fields: on(async (sql) => {
    await table(sql, 'pj_res', 'id serial primary key, t text')
    const inserted = await sql`INSERT INTO pj_res (t) VALUES (${'a'}), (${'b'}) RETURNING *`
    same([inserted.count, inserted.command, inserted.columns.map((c) => c.name)], [2, 'INSERT', ['id', 't']])
    same((await sql`UPDATE pj_res SET t = 'c' WHERE id > 5`).count, 0)
    same((await sql`DELETE FROM pj_res`).count, 2)
  }),
  upsert: on(async (sql) => {
    await table(sql, 'pj_up', 'id int primary key, n int')
    for (const expected of [1, 2]) same(await sql`INSERT INTO pj_up VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = pj_up.n + ${1} RETURNING n`, [{ n: expected }])
  }),
  describe: on(async (sql) => {
    await table(sql, 'pj_desc', 'id int8 primary key, t varchar(5)')
    const { types, columns } = await sql`SELECT * FROM pj_desc WHERE id = ${1} AND t = ${'x'}`.describe()
    same([types, columns.map((c) => [c.name, c.type])], [[20, 25], [['id', 20], ['t', 1043]]])
  }),
  transactions: on(async (sql) => {
    await table(sql, 'pj_tx', 'id int primary key')
    await fails(sql.begin(async (tx) => {
      await tx`INSERT INTO pj_tx VALUES (1)`
      throw new Error('no')
    }))
    await sql.begin((tx) => [tx`INSERT INTO pj_tx VALUES (2)`, tx`INSERT INTO pj_tx VALUES (3)`])
    same(await sql`SELECT id FROM pj_tx ORDER BY id`, [{ id: 2 }, { id: 3 }])
  }),
  savepoints: on(async (sql) => {
    await table(sql, 'pj_sp', 'id int primary key')
    await sql.begin(async (tx) => {
      await tx`INSERT INTO pj_sp VALUES (1)`
      await tx.savepoint((sp) => sp`INSERT INTO pj_sp VALUES (1)`).catch(() => {})
      await tx.savepoint((sp) => sp`INSERT INTO pj_sp VALUES (2)`)
    })
    same(await sql`SELECT count(*)::int AS n FROM pj_sp`, [{ n: 2 }])
  }),
  transaction_modes: on(async (sql) => {
    await sql.begin('isolation level serializable read only', async (tx) => {
      same(await tx`SHOW transaction_isolation`, [{ transaction_isolation: 'serializable' }])
      await fails(tx.savepoint((sp) => sp`CREATE TABLE pj_no (id int)`), '25006')
    })
  }),
  cursors: on(async (sql) => {
    const sizes = []
    for await (const batch of sql`SELECT g FROM generate_series(1, 25) AS g`.cursor(10)) sizes.push(batch.length)
    same(sizes, [10, 10, 5])
    const [first] = await new Promise((resolve, reject) => {
      sql`SELECT g FROM generate_series(1, 25) AS g`.cursor(5, (batch) => (resolve(batch), sql.CLOSE)).catch(reject)
    })
    same(first, { g: 1 })
  }),
  for_each: on(async (sql) => {
    let sum = 0
    await sql`SELECT g FROM generate_series(1, 100) AS g`.forEach((row) => { sum += row.g })
    same(sum, 5050)
  }),
  raw_values_simple: on(async (sql) => {
    same(await sql`SELECT 1 AS a, 'x' AS b`.values(), [[1, 'x']])
    same((await sql`SELECT 1 AS a; SELECT 2 AS b`.simple()).map((r) => r[0]), [{ a: 1 }, { b: 2 }])
    same(await sql.unsafe('SELECT $1::int AS n', [4]), [{ n: 4 }])
  }),
  pipelining_keeps_order: on(async (sql) => {
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => sql`SELECT ${i}::int AS i`))
    same(answers.map((a) => a[0].i), Array.from({ length: 50 }, (_, i) => i))
  }, { max: 1 }),
  errors: on(async (sql) => {
    await table(sql, 'pj_err', 'id int constraint pj_pk primary key')
    await sql`INSERT INTO pj_err VALUES (1)`
    const error = await fails(sql`INSERT INTO pj_err VALUES (1)`, '23505')
    same([error.constraint_name, error.table_name, error.severity, error.routine !== undefined], ['pj_pk', 'pj_err', 'ERROR', true])
    await fails(sql`SELECT * FROM pj_none`, '42P01')
    await fails(sql`SELECT nope FROM pj_err`, '42703')
    same(await sql`SELECT 1 AS a`, [{ a: 1 }])
  }),
  copy: on(async (sql) => {
    const { Readable } = require('node:stream')
    const { pipeline } = require('node:stream/promises')
    await table(sql, 'pj_copy', 'id int, t text')
    await pipeline(Readable.from(['1\ta\n', '2\tb\n']), await sql`COPY pj_copy FROM STDIN`.writable())
    const chunks = []
    for await (const chunk of await sql`COPY (SELECT * FROM pj_copy ORDER BY id) TO STDOUT`.readable()) chunks.push(chunk)
    same(Buffer.concat(chunks).toString(), '1\ta\n2\tb\n')
  }, { max: 1 }),
  listen_and_notify: on(async (sql) => {
    let heard
    const got = new Promise((resolve) => { heard = resolve })
    await sql.listen('pj_news', heard)
    await sql.notify('pj_news', 'hello')
    same(await got, 'hello')
  }),
  cancel: on(async (sql) => {
    const query = sql`SELECT pg_sleep(20)`
    setTimeout(() => query.cancel(), 300)
    await fails(query, '57014')
  }),
  reserved_connection: on(async (sql) => {
    const one = await sql.reserve()
    await one`SET search_path = pg_catalog`
    same(await one`SHOW search_path`, [{ search_path: 'pg_catalog' }])
    one.release()
  }),
  connection_parameters: on(async (sql) => {
    same(await sql`SELECT current_setting('application_name') AS a, current_setting('TimeZone') AS z`, [{ a: 'pj', z: 'Asia/Tokyo' }])
  }, { connection: { application_name: 'pj', TimeZone: 'Asia/Tokyo' } }),
  statement_that_changed_is_prepared_again: on(async (sql) => {
    await table(sql, 'pj_chg', 'id int primary key')
    await sql`INSERT INTO pj_chg VALUES (1)`
    const read = () => sql`SELECT id FROM pj_chg WHERE id = ${1}`
    same(await read(), [{ id: 1 }])
    await sql`ALTER TABLE pj_chg ADD COLUMN t text`
    same(await read(), [{ id: 1 }])
  }, { max: 1 }),
  dynamic_where: on(async (sql) => {
    const filter = (n) => sql`AND g > ${n}`
    same((await sql`SELECT g FROM generate_series(1, 5) AS g WHERE true ${filter(3)}`).length, 2)
  }),
  dates_into_date_columns: on(async (sql) => {
    await table(sql, 'pj_date', 'id int, d date, at timestamp')
    await sql`INSERT INTO pj_date VALUES (1, ${'2024-01-02'}, ${new Date('2024-01-02T03:04:05Z')})`
    same(await sql`SELECT d::text AS d, at::text AS at FROM pj_date WHERE d >= ${'2024-01-01'}`, [{ d: '2024-01-02', at: '2024-01-02 03:04:05' }])
  }),
}

const travels = {
  travels: on(async (sql) => {
    await table(sql, 'pj_past', 'id int primary key, v text')
    await sql`INSERT INTO pj_past VALUES (1, 'old')`
    const at = await pastInstant()
    await sql`UPDATE pj_past SET v = 'new'`
    const read = (s) => s`SELECT v FROM pj_past WHERE id = ${1}`
    await on(async (past) => same(await read(past), [{ v: 'old' }]), { database: `${connection.database}@${at}` })()
    await on(async (past) => same(await read(past), [{ v: 'old' }]), { connection: { 'chronogate.as_of': at } })()
    await on(async (past) => same(await read(past), [{ v: 'old' }]), { connection: { options: `-c chronogate.as_of=${at}` } })()
    await sql.begin(async (tx) => {
      await tx.unsafe(`SET LOCAL chronogate.as_of = '${at}'`)
      same(await read(tx), [{ v: 'old' }])
    })
    same(await read(sql), [{ v: 'new' }])
    that((await fails(on((past) => past`DELETE FROM pj_past`, { database: `${connection.database}@${at}` })(), '25006')) !== undefined, 'written')
  }),
}

run('postgres_js', checks, travels)
