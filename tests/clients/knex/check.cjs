// knex against the server: schema builder, migrations, queries, transactions.

const knexLib = require('knex')
const { connection, same, that, fails, pastInstant, run } = require('../checks.cjs')

const open = (more = {}) => knexLib({ client: 'pg', connection: { ...connection, ...more }, pool: { min: 0, max: 3 }, log: { warn() {} } })
const on = (use, more) => async () => {
  const db = open(more)
  try {
    await use(db)
  } finally {
    await db.destroy()
  }
}

async function items(db) {
  await db.schema.dropTableIfExists('kn_part').dropTableIfExists('kn_item')
  await db.schema.createTable('kn_item', (t) => {
    t.increments('id')
    t.string('name', 40).notNullable().unique()
    t.decimal('price', 8, 2).defaultTo(1.5).index('kn_price')
    t.jsonb('data')
    t.specificType('tags', 'text[]')
    t.boolean('on').defaultTo(true)
    t.uuid('key').defaultTo(db.fn.uuid())
    t.enu('kind', ['a', 'b']).defaultTo('a')
    t.timestamps(true, true)
    t.comment('things')
  })
  await db.schema.createTable('kn_part', (t) => {
    t.bigIncrements('id')
    t.integer('item_id').unsigned().references('id').inTable('kn_item').onDelete('CASCADE')
    t.text('name')
    t.unique(['item_id', 'name'], { indexName: 'kn_part_u' })
  })
  await db('kn_item').insert([{ name: 'x', data: { a: 1 }, tags: ['p'] }, { name: 'y', price: 3, kind: 'b' }])
  await db('kn_part').insert([{ item_id: 1, name: 'p1' }, { item_id: 1, name: 'p2' }])
}

const withItems = (use, more) => on(async (db) => {
  await items(db)
  await use(db)
}, more)

const checks = {
  connects: on(async (db) => same((await db.raw('SELECT ?::int AS n', [5])).rows, [{ n: 5 }])),
  schema_builder: withItems(async (db) => {
    same([await db.schema.hasTable('kn_item'), await db.schema.hasColumn('kn_item', 'price'), await db.schema.hasTable('kn_never')], [true, true, false])
    const info = await db('kn_item').columnInfo()
    same([info.name.type, info.name.maxLength, info.name.nullable, info.price.type], ['character varying', 40, false, 'numeric'])
  }),
  alter_table: withItems(async (db) => {
    await db.schema.alterTable('kn_item', (t) => {
      t.integer('qty').notNullable().defaultTo(7)
      t.renameColumn('data', 'facts')
      t.dropColumn('on')
      t.string('name', 90).nullable().alter()
      t.index(['qty', 'price'], 'kn_two')
      t.dropIndex('price', 'kn_price')
    })
    await db.schema.alterTable('kn_part', (t) => { t.dropForeign('item_id'); t.dropUnique(['item_id', 'name'], 'kn_part_u') })
    const [row] = await db('kn_item').where('name', 'x')
    same([row.qty, row.facts, 'on' in row], [7, { a: 1 }, false])
    await db.schema.renameTable('kn_part', 'kn_part2')
    await db.schema.dropTable('kn_part2')
  }),
  insert_with_absent_columns: withItems(async (db) => {
    const rows = await db('kn_item').insert([{ name: 'a' }, { name: 'b', price: 9 }]).returning(['id', 'price', 'kind'])
    same(rows, [{ id: 3, price: '1.50', kind: 'a' }, { id: 4, price: '9.00', kind: 'a' }])
  }),
  select_of_many_shapes: withItems(async (db) => {
    same(await db('kn_item').join('kn_part', 'kn_item.id', 'kn_part.item_id').groupBy('kn_item.name').select('kn_item.name').count('kn_part.id as n').having(db.raw('count(*)'), '>', 1), [{ name: 'x', n: '2' }])
    same(await db('kn_item').whereIn('name', ['x', 'z']).orWhereNull('data').orderBy('id').pluck('name'), ['x', 'y'])
    same(await db('kn_item').whereExists(db('kn_part').whereRaw('kn_part.item_id = kn_item.id')).pluck('name'), ['x'])
    same(await db('kn_item').orderBy('id').limit(1).offset(1).pluck('name'), ['y'])
    same(await db('kn_item').first('name').where('price', '>', 2), { name: 'y' })
    same(await db.with('dear', db('kn_item').where('price', '>', 2)).from('dear').pluck('name'), ['y'])
    same(await db('kn_item').whereJsonObject('data', { a: 1 }).pluck('name'), ['x'])
    same((await db('kn_item').sum('price as s').first()).s, '4.50')
    same(await db('kn_item').distinctOn('kind').orderBy('kind').pluck('name'), ['x', 'y'])
    same(await db('kn_item').whereILike('name', 'X').pluck('id'), [1])
    same((await db.select(db.raw('? as one', [1]))).length, 1)
    same(await db('kn_item').select('name').rowNumber('n', 'id').orderBy('n'), [{ name: 'x', n: '1' }, { name: 'y', n: '2' }])
  }),
  update_and_delete: withItems(async (db) => {
    same(await db('kn_item').where({ name: 'x' }).update({ price: 5 }), 1)
    same(await db('kn_item').where('id', 1).increment('price', 2).returning('price'), [{ price: '7.00' }])
    same(await db('kn_item').where({ name: 'none' }).update({ price: 5 }), 0)
    same(await db('kn_item').where({ name: 'x' }).del(), 1)
    same(await db('kn_part').count('* as n'), [{ n: '0' }])
  }),
  upsert: withItems(async (db) => {
    same(await db('kn_item').insert({ name: 'x', price: 8 }).onConflict('name').merge(['price']).returning('price'), [{ price: '8.00' }])
    await db('kn_item').insert({ name: 'x' }).onConflict('name').ignore()
    same((await db('kn_item').count('* as n'))[0].n, '2')
  }),
  transactions: withItems(async (db) => {
    await fails(db.transaction(async (trx) => {
      await trx('kn_item').insert({ name: 'no' })
      throw new Error('no')
    }))
    await db.transaction(async (trx) => {
      await trx('kn_item').insert({ name: 'q' })
      await trx.transaction(async (inner) => { await inner('kn_item').insert({ name: 'q' }) }).catch(() => {})
      await trx('kn_item').forUpdate().where('name', 'q').first()
    })
    same(await db('kn_item').orderBy('id').pluck('name'), ['x', 'y', 'q'])
  }),
  isolation_levels: on(async (db) => {
    await db.transaction(async (trx) => same((await trx.raw('SHOW transaction_isolation')).rows[0].transaction_isolation, 'serializable'), { isolationLevel: 'serializable' })
  }),
  errors: withItems(async (db) => {
    same((await fails(db('kn_item').insert({ name: 'x' }), '23505')).constraint, 'kn_item_name_unique')
    await fails(db('kn_item').insert({ name: 'z', kind: 'q' }), '23514')
    await fails(db('kn_part').insert({ item_id: 99 }), '23503')
    await fails(db('kn_nowhere'), '42P01')
  }),
  batch_insert: withItems(async (db) => {
    await db.batchInsert('kn_item', Array.from({ length: 250 }, (_, i) => ({ name: `b${i}` })), 100)
    same((await db('kn_item').count('* as n'))[0].n, '252')
  }),
  stream: withItems(async (db) => {
    const names = []
    for await (const row of db('kn_item').orderBy('id').stream()) names.push(row.name)
    same(names, ['x', 'y'])
  }),
  views: withItems(async (db) => {
    await db.schema.createViewOrReplace('kn_view', (v) => { v.columns(['name']); v.as(db('kn_item').select('name').where('price', '>', 2)) })
    same(await db('kn_view').select(), [{ name: 'y' }])
    await db.schema.dropView('kn_view')
  }),
  truncate: withItems(async (db) => {
    await db.raw('TRUNCATE kn_part RESTART IDENTITY')
    await db('kn_part').insert({ item_id: 1, name: 'n' })
    same(await db('kn_part').pluck('id'), ['1'])
  }),
  migrations: on(async (db) => {
    await db.schema.dropTableIfExists('kn_mig').dropTableIfExists('kn_migrations').dropTableIfExists('kn_migrations_lock')
    const steps = {
      one: { up: (k) => k.schema.createTable('kn_mig', (t) => { t.increments(); t.string('a') }), down: (k) => k.schema.dropTable('kn_mig') },
      two: { up: (k) => k.schema.alterTable('kn_mig', (t) => { t.integer('b').defaultTo(3) }), down: (k) => k.schema.alterTable('kn_mig', (t) => { t.dropColumn('b') }) },
    }
    const config = { tableName: 'kn_migrations', migrationSource: { getMigrations: async () => Object.keys(steps), getMigrationName: (m) => m, getMigration: async (m) => steps[m] } }
    same((await db.migrate.latest(config))[1], ['one', 'two'])
    same(await db('kn_mig').insert({ a: 'x' }).returning('b'), [{ b: 3 }])
    same((await db.migrate.latest(config))[1], [])
    await db.migrate.rollback(config, true)
    that(!(await db.schema.hasTable('kn_mig')), 'kn_mig is still there')
  }),
}

const travels = {
  travels: withItems(async (db) => {
    const at = await pastInstant()
    await db('kn_item').where('name', 'x').del()
    const names = (k) => k('kn_item').orderBy('id').pluck('name')
    same(await names(db), ['y'])
    await on(async (past) => same(await names(past), ['x', 'y']), { database: `${connection.database}@${at}` })()
    await on(async (past) => same(await names(past), ['x', 'y']), { options: `-c chronogate.as_of=${at}` })()
    await db.transaction(async (trx) => {
      await trx.raw(`SET LOCAL chronogate.as_of = '${at}'`)
      same([await names(trx), await trx('kn_part').count('* as n')], [['x', 'y'], [{ n: '2' }]])
    })
  }),
}

run('knex', checks, travels)
