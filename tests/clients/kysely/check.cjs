// Kysely against the server: schema builder, typed queries, JSON helpers, introspection, migrations.

const { Kysely, Migrator, PostgresDialect, sql } = require('kysely')
const { jsonArrayFrom, jsonObjectFrom } = require('kysely/helpers/postgres')
const { Pool } = require('pg')
const { connection, same, fails, pastInstant, run } = require('../checks.cjs')

const open = (more = {}) => new Kysely({ dialect: new PostgresDialect({ pool: new Pool({ ...connection, ...more, max: 3 }) }) })
const on = (use) => async () => {
  const db = open()
  try {
    await use(db)
  } finally {
    await db.destroy()
  }
}

async function filled(db) {
  await db.schema.dropTable('ky_pet').ifExists().execute()
  await db.schema.dropTable('ky_person').ifExists().execute()
  await db.schema
    .createTable('ky_person')
    .addColumn('id', 'serial', (c) => c.primaryKey())
    .addColumn('name', 'varchar(30)', (c) => c.notNull().unique())
    .addColumn('meta', 'jsonb')
    .addColumn('at', 'timestamptz', (c) => c.defaultTo(sql`now()`))
    .execute()
  await db.schema
    .createTable('ky_pet')
    .addColumn('id', 'bigserial', (c) => c.primaryKey())
    .addColumn('owner', 'integer', (c) => c.references('ky_person.id').onDelete('cascade').notNull())
    .addColumn('kind', sql`text`, (c) => c.check(sql`kind in ('dog', 'cat')`))
    .execute()
  await db.schema.createIndex('ky_by_owner').on('ky_pet').columns(['owner', 'kind']).execute()
  await db.insertInto('ky_person').values([{ name: 'a', meta: JSON.stringify({ x: 1 }) }, { name: 'b' }]).execute()
  await db.insertInto('ky_pet').values([{ owner: 1, kind: 'dog' }, { owner: 1, kind: 'cat' }]).execute()
}
const withRows = (use) => on(async (db) => {
  await filled(db)
  await use(db)
})

const checks = {
  insert_returning: withRows(async (db) => {
    const rows = await db.insertInto('ky_person').values([{ name: 'c' }]).returning(['id', 'name']).execute()
    same(rows, [{ id: 3, name: 'c' }])
  }),
  relations_as_json: withRows(async (db) => {
    const people = await db
      .selectFrom('ky_person as p')
      .select((eb) => ['p.name', jsonArrayFrom(eb.selectFrom('ky_pet').select(['ky_pet.kind']).whereRef('ky_pet.owner', '=', 'p.id').orderBy('kind')).as('pets')])
      .orderBy('p.id')
      .execute()
    same(people, [{ name: 'a', pets: [{ kind: 'cat' }, { kind: 'dog' }] }, { name: 'b', pets: [] }])
    const pets = await db
      .selectFrom('ky_pet as t')
      .select((eb) => ['t.kind', jsonObjectFrom(eb.selectFrom('ky_person').select(['name']).whereRef('ky_person.id', '=', 't.owner')).as('owner')])
      .orderBy('t.id')
      .execute()
    same(pets[0], { kind: 'dog', owner: { name: 'a' } })
  }),
  aggregates: withRows(async (db) => {
    const row = await db.selectFrom('ky_pet').select(({ fn }) => [fn.count('id').as('n')]).groupBy('owner').having(({ fn }) => fn.count('id'), '>', 1).executeTakeFirst()
    same(row, { n: '2' })
  }),
  upsert: withRows(async (db) => {
    const row = await db
      .insertInto('ky_person')
      .values({ name: 'a' })
      .onConflict((oc) => oc.column('name').doUpdateSet({ meta: sql`'{"y": 2}'::jsonb` }))
      .returning(['id', 'meta'])
      .executeTakeFirst()
    same(row, { id: 1, meta: { y: 2 } })
  }),
  transaction_rolls_back: withRows(async (db) => {
    await fails(db.transaction().execute(async (t) => {
      await t.insertInto('ky_person').values({ name: 'c' }).execute()
      await t.insertInto('ky_person').values({ name: 'a' }).execute()
    }), '23505')
    same((await db.selectFrom('ky_person').select('name').execute()).length, 2)
  }),
  common_table_expressions: withRows(async (db) => {
    const rows = await db
      .with('owners', (q) => q.selectFrom('ky_pet').select('owner').distinct())
      .selectFrom('ky_person')
      .innerJoin('owners', 'owners.owner', 'ky_person.id')
      .select('name')
      .execute()
    same(rows, [{ name: 'a' }])
  }),
  introspection: withRows(async (db) => {
    const tables = (await db.introspection.getTables()).filter((t) => t.name.startsWith('ky_p'))
    same(tables.map((t) => [t.name, t.isView, t.columns.map((c) => [c.name, c.dataType, c.isNullable, c.isAutoIncrementing, c.hasDefaultValue])]), [
      ['ky_person', false, [['id', 'int4', false, true, true], ['name', 'varchar', false, false, false], ['meta', 'jsonb', true, false, false], ['at', 'timestamptz', true, false, true]]],
      ['ky_pet', false, [['id', 'int8', false, true, true], ['owner', 'int4', false, false, false], ['kind', 'text', true, false, false]]],
    ])
  }),
  alters: withRows(async (db) => {
    await db.schema.alterTable('ky_person').addColumn('z', 'integer').execute()
    await db.schema.alterTable('ky_person').renameColumn('z', 'zz').execute()
    await db.schema.alterTable('ky_person').alterColumn('zz', (c) => c.setDefault(5)).execute()
    await db.insertInto('ky_person').values({ name: 'q' }).execute()
    same(await db.selectFrom('ky_person').select('zz').where('name', '=', 'q').execute(), [{ zz: 5 }])
    await db.schema.alterTable('ky_person').dropColumn('zz').execute()
  }),
  migrations: on(async (db) => {
    for (const table of ['ky_migrated', 'kysely_migration', 'kysely_migration_lock']) await db.schema.dropTable(table).ifExists().execute()
    const migrations = {
      first: {
        up: (m) => m.schema.createTable('ky_migrated').addColumn('a', 'integer').execute(),
        down: (m) => m.schema.dropTable('ky_migrated').execute(),
      },
    }
    const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } })
    const up = await migrator.migrateToLatest()
    same([up.error, up.results], [undefined, [{ migrationName: 'first', direction: 'Up', status: 'Success' }]])
    await db.insertInto('ky_migrated').values({ a: 1 }).execute()
    same((await migrator.migrateDown()).error, undefined)
    await fails(db.selectFrom('ky_migrated').selectAll().execute(), '42P01')
  }),
}

const travels = {
  travels: withRows(async (db) => {
    const at = await pastInstant()
    await db.deleteFrom('ky_person').execute()
    const past = open({ database: `${connection.database}@${at}` })
    try {
      same((await past.selectFrom('ky_pet').selectAll().execute()).length, 2)
      await fails(past.deleteFrom('ky_pet').execute(), '25006')
    } finally {
      await past.destroy()
    }
  }),
}

run('kysely', checks, travels)
