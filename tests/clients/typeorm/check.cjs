// TypeORM against the server: synchronize, migrations, repositories, relations, query builder.

require('reflect-metadata')
const { DataSource, EntitySchema, In, Like, IsNull, Not, Between, MoreThan, ArrayContains, QueryFailedError, OptimisticLockVersionMismatchError, Table } = require('typeorm')
const { connection, same, that, fails, pastInstant, run } = require('../checks.cjs')

const User = new EntitySchema({
  name: 'User',
  tableName: 'to_user',
  columns: {
    id: { type: 'int', primary: true, generated: true },
    name: { type: 'varchar', length: 50, unique: true },
    mood: { type: 'enum', enum: ['sad', 'happy'], default: 'sad' },
    settings: { type: 'jsonb', nullable: true },
    tags: { type: 'text', array: true, default: () => "'{}'" },
    balance: { type: 'numeric', precision: 10, scale: 2, default: 0, comment: 'in euro' },
    active: { type: 'boolean', default: true },
    createdAt: { type: 'timestamptz', createDate: true },
    updatedAt: { type: 'timestamptz', updateDate: true },
    deletedAt: { type: 'timestamptz', deleteDate: true, nullable: true },
    version: { type: 'int', version: true },
  },
  relations: { posts: { type: 'one-to-many', target: 'Post', inverseSide: 'author', cascade: true } },
  checks: [{ name: 'to_balance', expression: '"balance" >= -100' }],
})
const Post = new EntitySchema({
  name: 'Post',
  tableName: 'to_post',
  columns: {
    id: { type: 'uuid', primary: true, generated: 'uuid' },
    title: { type: 'text' },
    views: { type: 'bigint', default: 0 },
    published: { type: 'date', nullable: true },
  },
  relations: {
    author: { type: 'many-to-one', target: 'User', inverseSide: 'posts', onDelete: 'CASCADE', lazy: false },
    labels: { type: 'many-to-many', target: 'Label', joinTable: { name: 'to_post_label' }, cascade: true },
  },
  indices: [{ name: 'to_post_title', columns: ['title'] }, { name: 'to_post_views', columns: ['views', 'published'] }],
})
const Label = new EntitySchema({ name: 'Label', tableName: 'to_label', columns: { id: { type: 'int', primary: true, generated: 'identity' }, text: { type: 'varchar' } } })

const entities = [User, Post, Label]
const settings = (more = {}) => ({ type: 'postgres', host: connection.host, port: connection.port, username: connection.user, password: connection.password, database: connection.database, entities, installExtensions: false, uuidExtension: 'pgcrypto', ...more })

async function withSource(use, more) {
  const source = new DataSource(settings(more))
  await source.initialize()
  try {
    return await use(source)
  } finally {
    await source.destroy()
  }
}

const drop = `DROP TABLE IF EXISTS to_post_label, to_post, to_user, to_label, to_user2, to_mig, to_mig2, to_things CASCADE; DROP TYPE IF EXISTS to_user_mood_enum`

// A source whose tables are there and empty.
const on = (use, more) => () => withSource(async (source) => {
  await source.query(drop)
  await source.synchronize()
  await use(source)
}, more)

async function people(source) {
  const users = source.getRepository('User')
  return users.save([
    { name: 'Ann', balance: '5.50', tags: ['x'], settings: { theme: 'dark' }, posts: [{ title: 'First', labels: [{ text: 'red' }] }, { title: 'Second', views: '7' }] },
    { name: 'Bob', mood: 'happy', posts: [] },
  ])
}

const checks = {
  connects: () => withSource(async (source) => same(await source.query('SELECT $1::int AS n', [3]), [{ n: 3 }])),
  synchronize_creates: on(async (source) => {
    same((await source.query("SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'to!_%' ESCAPE '!' AND table_name <> 'to_migrations' ORDER BY 1")).map((r) => r.table_name), ['to_label', 'to_post', 'to_post_label', 'to_user'])
  }),
  synchronize_again_changes_nothing: on(async (source) => {
    const { upQueries } = await source.driver.createSchemaBuilder().log()
    same(upQueries.map((q) => q.query), [])
  }),
  synchronize_adds_and_drops_columns: on(async (source) => {
    await people(source)
    const changed = new EntitySchema({ ...User.options, relations: {}, checks: [], columns: { ...User.options.columns, nick: { type: 'text', nullable: true }, active: undefined, balance: { type: 'numeric', precision: 12, scale: 3, default: 1 } } })
    delete changed.options.columns.active
    await withSource(async (other) => {
      await other.synchronize()
      const [row] = await other.query(`SELECT * FROM to_user WHERE name = 'Ann'`)
      that('nick' in row && !('active' in row), Object.keys(row).join())
    }, { entities: [changed] })
  }),
  drop_schema: () => withSource(async (source) => {
    await source.query('DROP SCHEMA IF EXISTS to_schema CASCADE; CREATE SCHEMA to_schema')
    await withSource(async (other) => {
      await other.synchronize()
      await other.synchronize(true)
      same((await other.query("SELECT count(*)::int AS n FROM information_schema.tables WHERE table_schema = 'to_schema'")), [{ n: 1 }])
    }, { schema: 'to_schema', entities: [new EntitySchema({ name: 'Thing', tableName: 'thing', columns: { id: { type: 'int', primary: true, generated: true } } })] })
  }),
  save_and_find: on(async (source) => {
    const [ann] = await people(source)
    const seen = await source.getRepository('User').findOneOrFail({ where: { name: 'Ann' }, relations: { posts: { labels: true } } })
    same([seen.id, seen.balance, seen.tags, seen.settings, seen.mood, seen.active, seen.version], [ann.id, '5.50', ['x'], { theme: 'dark' }, 'sad', true, 1])
    same(seen.posts.map((p) => [p.title, p.views, p.labels.map((l) => l.text)]).sort(), [['First', '0', ['red']], ['Second', '7', []]])
    that(seen.createdAt instanceof Date && seen.deletedAt === null, 'times')
  }),
  find_operators: on(async (source) => {
    await people(source)
    const users = source.getRepository('User')
    const names = async (where) => (await users.find({ where, order: { name: 'ASC' } })).map((u) => u.name)
    same(await names({ name: In(['Ann', 'Eve']) }), ['Ann'])
    same(await names({ name: Like('B%') }), ['Bob'])
    same(await names({ settings: IsNull() }), ['Bob'])
    same(await names({ balance: Between(1, 9) }), ['Ann'])
    same(await names([{ name: 'Ann' }, { mood: 'happy' }]), ['Ann', 'Bob'])
    same(await names({ name: Not('Ann') }), ['Bob'])
    same(await names({ tags: ArrayContains(['x']) }), ['Ann'])
    same(await names({ posts: { views: MoreThan(5) } }), ['Ann'])
  }),
  paging: on(async (source) => {
    await people(source)
    const [page, total] = await source.getRepository('User').findAndCount({ order: { name: 'DESC' }, skip: 1, take: 1, relations: { posts: true } })
    same([page.map((u) => u.name), total], [['Ann'], 2])
  }),
  update_counts_versions: on(async (source) => {
    const [ann] = await people(source)
    const users = source.getRepository('User')
    ann.balance = '7.25'
    same((await users.save(ann)).version, 2)
    same((await users.update({ name: 'Ann' }, { active: false })).affected, 1)
    same((await users.update({ name: 'Nobody' }, { active: false })).affected, 0)
    await users.increment({ id: ann.id }, 'balance', 1)
    same((await users.findOneByOrFail({ id: ann.id })).balance, '8.25')
  }),
  optimistic_lock: on(async (source) => {
    const [ann] = await people(source)
    const find = (version) => source.getRepository('User').findOne({ where: { id: ann.id }, lock: { mode: 'optimistic', version } })
    same((await find(1)).name, 'Ann')
    const error = await fails(find(5), undefined)
    that(error instanceof OptimisticLockVersionMismatchError, error.message)
  }),
  pessimistic_lock: on(async (source) => {
    const [ann] = await people(source)
    await source.transaction(async (manager) => {
      const seen = await manager.findOne('User', { where: { id: ann.id }, lock: { mode: 'pessimistic_write' } })
      same(seen.name, 'Ann')
    })
  }),
  soft_delete: on(async (source) => {
    const [ann] = await people(source)
    const users = source.getRepository('User')
    await users.softDelete(ann.id)
    same([await users.count(), await users.count({ withDeleted: true })], [1, 2])
    await users.restore(ann.id)
    same(await users.count(), 2)
  }),
  remove_cascades: on(async (source) => {
    const [ann] = await people(source)
    await source.getRepository('User').remove(ann)
    same(await source.getRepository('Post').count(), 0)
  }),
  upsert: on(async (source) => {
    await people(source)
    const users = source.getRepository('User')
    await users.upsert([{ name: 'Ann', balance: '1.00' }, { name: 'Cid', balance: '2.00' }], ['name'])
    same((await users.find({ order: { name: 'ASC' } })).map((u) => [u.name, u.balance]), [['Ann', '1.00'], ['Bob', '0.00'], ['Cid', '2.00']])
  }),
  query_builder: on(async (source) => {
    await people(source)
    const raw = await source.getRepository('User').createQueryBuilder('u').leftJoin('u.posts', 'p').select('u.name', 'name').addSelect('COUNT(p.id)', 'n').addSelect('SUM(p.views)', 's').groupBy('u.name').having('COUNT(p.id) > :n', { n: 0 }).getRawMany()
    same(raw, [{ name: 'Ann', n: '2', s: '7' }])
    const some = await source.getRepository('User').createQueryBuilder('u').leftJoinAndSelect('u.posts', 'p').where((q) => `u.id IN ${q.subQuery().select('x.author').from('Post', 'x').where('x.views > :v').getQuery()}`).setParameter('v', 1).orderBy('p.title').getMany()
    same(some.map((u) => u.posts.map((p) => p.title)), [['First', 'Second']])
    const inserted = await source.createQueryBuilder().insert().into('Label').values([{ text: 'a' }, { text: 'b' }]).returning('id, text').execute()
    same(inserted.raw.map((r) => r.text), ['a', 'b'])
    same((await source.createQueryBuilder().delete().from('Label').where('text = :t', { t: 'a' }).execute()).affected, 1)
    same(await source.getRepository('User').createQueryBuilder('u').where('u.settings @> :s', { s: { theme: 'dark' } }).getExists(), true)
  }),
  transactions_and_savepoints: on(async (source) => {
    await fails(source.transaction(async (manager) => {
      await manager.save('User', { name: 'Eve' })
      throw new Error('no')
    }))
    await source.transaction(async (manager) => {
      await manager.save('User', { name: 'Kim' })
      await manager.transaction((inner) => inner.save('User', { name: 'Kim' })).catch(() => {})
      await manager.transaction((inner) => inner.save('User', { name: 'Lea' }))
    })
    same((await source.getRepository('User').find({ order: { name: 'ASC' } })).map((u) => u.name), ['Kim', 'Lea'])
  }),
  isolation_level: on(async (source) => {
    await source.transaction('SERIALIZABLE', async (manager) => same(await manager.query('SHOW transaction_isolation'), [{ transaction_isolation: 'serializable' }]))
  }),
  errors: on(async (source) => {
    await people(source)
    const error = await fails(source.getRepository('User').insert({ name: 'Ann' }))
    that(error instanceof QueryFailedError, error.message)
    same([error.driverError.code, error.driverError.table], ['23505', 'to_user'])
    same((await fails(source.getRepository('User').insert({ name: 'Zed', balance: -500 }))).driverError.constraint, 'to_balance')
    same((await fails(source.getRepository('User').insert({ name: 'Zed', mood: 'angry' }))).driverError.code, '22P02')
  }),
  stream: on(async (source) => {
    await people(source)
    const stream = await source.getRepository('User').createQueryBuilder('u').orderBy('u.name').stream()
    const names = []
    for await (const row of stream) names.push(row.u_name)
    same(names, ['Ann', 'Bob'])
  }),
  migrations_run_and_revert: () => withSource(async (source) => {
    await source.query(drop)
    await source.query('DROP TABLE IF EXISTS to_migrations')
    same((await source.runMigrations()).length, 2)
    same(await source.query('SELECT * FROM to_mig2'), [{ id: 1, renamed: 'a', n: 5 }])
    same((await source.runMigrations()).length, 0)
    same(await source.showMigrations(), false)
    await source.undoLastMigration()
    same(await source.query('SELECT * FROM to_mig'), [{ id: 1, name: 'a' }])
  }, {
    migrationsTableName: 'to_migrations',
    entities: [],
    migrations: [
      class First1700000000001 {
        async up(q) {
          await q.createTable(new Table({ name: 'to_mig', columns: [{ name: 'id', type: 'int', isPrimary: true, isGenerated: true }, { name: 'name', type: 'varchar', isNullable: true }], indices: [{ name: 'to_mig_i', columnNames: ['name'], isUnique: true }] }), true)
          await q.query("INSERT INTO to_mig (name) VALUES ('a')")
        }
        async down(q) { await q.dropTable('to_mig') }
      },
      class Second1700000000002 {
        async up(q) {
          const { TableColumn, TableForeignKey, TableCheck } = require('typeorm')
          await q.addColumn('to_mig', new TableColumn({ name: 'n', type: 'int', default: 5 }))
          await q.renameColumn('to_mig', 'name', 'renamed')
          await q.renameTable('to_mig', 'to_mig2')
          await q.createTable(new Table({ name: 'to_things', columns: [{ name: 'id', type: 'uuid', isPrimary: true, default: 'gen_random_uuid()' }, { name: 'mig', type: 'int' }] }))
          await q.createForeignKey('to_things', new TableForeignKey({ name: 'to_fk', columnNames: ['mig'], referencedTableName: 'to_mig2', referencedColumnNames: ['id'], onDelete: 'CASCADE' }))
          await q.createCheckConstraint('to_mig2', new TableCheck({ name: 'to_ck', expression: 'n > 0' }))
          const table = await q.getTable('to_things')
          same([table.foreignKeys.map((f) => f.name), table.columns.map((c) => c.name)], [['to_fk'], ['id', 'mig']])
        }
        async down(q) {
          await q.dropForeignKey('to_things', 'to_fk')
          await q.dropTable('to_things')
          await q.dropCheckConstraint('to_mig2', 'to_ck')
          await q.renameTable('to_mig2', 'to_mig')
          await q.dropColumn('to_mig', 'n')
          await q.renameColumn('to_mig', 'renamed', 'name')
        }
      },
    ],
  }),
  tree_of_table_metadata: on(async (source) => {
    const table = await source.createQueryRunner().getTable('to_user')
    const column = Object.fromEntries(table.columns.map((c) => [c.name, c]))
    same([column.name.length, column.balance.precision, column.balance.scale, column.balance.comment, column.tags.isArray, column.mood.enum, column.id.isGenerated], ['50', 10, 2, 'in euro', true, ['sad', 'happy'], true])
    same([table.checks.map((c) => c.name), table.uniques.map((u) => u.columnNames)], [['to_balance'], [['name']]])
  }),
}

const travels = {
  travels_with_relations: on(async (source) => {
    const [ann] = await people(source)
    const at = await pastInstant()
    await source.getRepository('Post').delete({ title: 'First' })
    await source.getRepository('User').update(ann.id, { name: 'Anna' })
    const graph = async (manager) => {
      const user = await manager.findOneByOrFail('User', { id: ann.id })
      const posts = await manager.find('Post', { where: { author: { id: user.id } }, relations: { labels: true }, order: { title: 'ASC' } })
      return [user.name, posts.map((p) => [p.title, p.labels.map((l) => l.text)])]
    }
    const then = ['Ann', [['First', ['red']], ['Second', []]]]
    await source.transaction(async (manager) => {
      await manager.query(`SET LOCAL chronogate.as_of = '${at}'`)
      same(await graph(manager), then)
    })
    same(await graph(source.manager), ['Anna', [['Second', []]]])
    await withSource(async (past) => same(await graph(past.manager), then), { database: `${connection.database}@${at}` })
    await withSource(async (past) => same(await graph(past.manager), then), { extra: { options: `-c chronogate.as_of=${at}` } })
  }),
}

run('typeorm', checks, travels)
