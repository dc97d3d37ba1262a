// pg-promise against the server, with the streams made for node-postgres: cursors, row streams and COPY.

const { Readable } = require('node:stream')
const { pipeline } = require('node:stream/promises')
const { from, to } = require('pg-copy-streams')
const Cursor = require('pg-cursor')
const QueryStream = require('pg-query-stream')
const pgp = require('pg-promise')({ noWarnings: true })
const { connection, same, fails, pastInstant, run } = require('../checks.cjs')

const db = pgp({ ...connection, max: 3 })

async function filled() {
  await db.none('DROP TABLE IF EXISTS prom_t')
  await db.none('CREATE TABLE prom_t (id serial PRIMARY KEY, a int, b text, c jsonb)')
  const columns = new pgp.helpers.ColumnSet(['a', 'b', { name: 'c', mod: ':json' }], { table: 'prom_t' })
  await db.none(pgp.helpers.insert([{ a: 1, b: "x'y", c: { k: 1 } }, { a: 2, b: null, c: null }], columns))
}

// With a connection of node-postgres.
async function lent(use) {
  const held = await db.connect()
  try {
    return await use(held.client)
  } finally {
    held.done()
  }
}

const checks = {
  many_rows_in_one_statement: async () => {
    await filled()
    const rows = [{ id: 1, a: 10, b: 'q', c: {} }, { id: 2, a: 20, b: 'r', c: {} }]
    await db.none(`${pgp.helpers.update(rows, ['?id', 'a', { name: 'b', cast: 'text' }], 'prom_t')} WHERE v.id = t.id`)
    same(await db.any('SELECT a, b FROM prom_t ORDER BY id'), [{ a: 10, b: 'q' }, { a: 20, b: 'r' }])
  },
  tasks_and_nested_transactions: async () => {
    await filled()
    const seen = await db.tx(async (t) => {
      await t.none('INSERT INTO prom_t (a) VALUES (3)')
      await fails(t.tx((inner) => inner.none('INSERT INTO prom_t (id) VALUES (1)')), '23505')
      return t.batch([t.one('SELECT count(*)::int AS n FROM prom_t'), t.oneOrNone('SELECT * FROM prom_t WHERE id = $1', 99)])
    })
    same(seen, [{ n: 3 }, null])
  },
  several_results: async () => {
    same(await db.multi('SELECT 1 AS a; SELECT 2 AS b, 3 AS c'), [[{ a: 1 }], [{ b: 2, c: 3 }]])
  },
  functions_and_lists: async () => {
    await filled()
    same(await db.func('upper', ['abc']), [{ upper: 'ABC' }])
    same(await db.any('SELECT a FROM prom_t WHERE a = ANY($1) AND (b IN ($2:csv) OR b IS NULL) ORDER BY a', [[1, 2], ["x'y", 'z']]), [{ a: 1 }, { a: 2 }])
  },
  prepared_statements: async () => {
    await filled()
    const statement = new pgp.PreparedStatement({ name: 'by-a', text: 'SELECT c FROM prom_t WHERE a = $1' })
    for (const [a, c] of [[1, { k: 1 }], [2, null], [1, { k: 1 }]]) {
      statement.values = [a]
      same(await db.one(statement), { c })
    }
  },
  transaction_modes: async () => {
    const { TransactionMode, isolationLevel } = pgp.txMode
    const mode = new TransactionMode({ tiLevel: isolationLevel.serializable, readOnly: true })
    await fails(db.tx({ mode }, (t) => t.none('CREATE TABLE prom_never (a int)')), '25006')
  },
  cursor: () => lent(async (client) => {
    const cursor = client.query(new Cursor('SELECT g FROM generate_series(1, $1) AS g', [10]))
    const first = await cursor.read(3)
    const rest = await cursor.read(100)
    await cursor.close()
    same([first, rest.length], [[{ g: 1 }, { g: 2 }, { g: 3 }], 7])
  }),
  row_stream: () => lent(async (client) => {
    let sum = 0
    for await (const row of client.query(new QueryStream('SELECT g FROM generate_series(1, 500) AS g', [], { batchSize: 50 }))) sum += row.g
    same(sum, 125250)
  }),
  copy_both_ways: () => lent(async (client) => {
    await client.query('DROP TABLE IF EXISTS prom_copy')
    await client.query('CREATE TABLE prom_copy (a int PRIMARY KEY, b text)')
    await pipeline(Readable.from(['1\tx\n2\t\\N\n', '3\tz\n']), client.query(from('COPY prom_copy FROM STDIN')))
    let text = ''
    for await (const piece of client.query(to('COPY (SELECT * FROM prom_copy ORDER BY a) TO STDOUT WITH (FORMAT csv, HEADER)'))) text += piece
    same(text, 'a,b\n1,x\n2,\n3,z\n')
    const error = await fails(pipeline(Readable.from(['1\tx\n']), client.query(from('COPY prom_copy FROM STDIN'))), '23505')
    same([error.where, error.detail], ['COPY prom_copy, line 1', 'Key (a)=(1) already exists.'])
  }),
}

const travels = {
  travels: async () => {
    await filled()
    const at = await pastInstant()
    await db.none('DELETE FROM prom_t')
    const past = pgp({ ...connection, database: `${connection.database}@${at}`, max: 1 })
    same((await past.any('SELECT a FROM prom_t')).length, 2)
    await fails(past.none('DELETE FROM prom_t'), '25006')
    past.$pool.end()
  },
}

run('pg_promise', checks, travels)
