// MikroORM and Objection: two ways to keep an object graph, each with its own queries of the catalogue.

const { EntitySchema, MikroORM, LockMode } = require('@mikro-orm/postgresql')
const knexLib = require('knex')
const { randomUUID } = require('node:crypto')
const { Model } = require('objection')
const { connection, same, that, fails, pastInstant, run } = require('../checks.cjs')

const Author = new EntitySchema({
  name: 'MkAuthor',
  tableName: 'mk_author',
  properties: {
    id: { type: 'number', primary: true },
    name: { type: 'string', unique: true },
    born: { type: 'date', nullable: true },
    tags: { type: 'string[]', nullable: true },
    data: { type: 'json', nullable: true },
    price: { type: 'decimal', precision: 10, scale: 2, nullable: true },
    version: { type: 'number', version: true },
    books: { kind: '1:m', entity: 'MkBook', mappedBy: 'author' },
  },
})
const Book = new EntitySchema({
  name: 'MkBook',
  tableName: 'mk_book',
  properties: {
    id: { type: 'uuid', primary: true, defaultRaw: 'gen_random_uuid()' },
    title: { type: 'text' },
    author: { kind: 'm:1', entity: 'MkAuthor', deleteRule: 'cascade' },
    labels: { kind: 'm:n', entity: 'MkLabel', owner: true },
  },
})
const Label = new EntitySchema({
  name: 'MkLabel',
  tableName: 'mk_label',
  properties: { id: { type: 'number', primary: true }, name: { type: 'string' } },
})

const open = (options) =>
  MikroORM.init({
    entities: [Author, Book, Label],
    host: connection.host,
    port: connection.port,
    user: connection.user,
    password: connection.password,
    dbName: connection.database,
    driverOptions: { connection: { options } },
    allowGlobalContext: true,
    schemaGenerator: { disableForeignKeys: false },
  })

const withOrm = (use) => async () => {
  const orm = await open()
  try {
    const schema = orm.getSchemaGenerator()
    await schema.dropSchema()
    await schema.createSchema()
    const em = orm.em.fork()
    const author = em.create('MkAuthor', { name: 'x', tags: ['p', 'q'], data: { k: 1 }, price: '1.50' })
    const book = em.create('MkBook', { id: randomUUID(), title: 't', author })
    book.labels.add(em.create('MkLabel', { name: 'label' }))
    await em.flush()
    await use(orm)
  } finally {
    await orm.close(true)
  }
}

const withObjection = (use) => async () => {
  const knex = knexLib({ client: 'pg', connection, pool: { min: 0, max: 3 } })
  try {
    await knex.schema.dropTableIfExists('obj_child').dropTableIfExists('obj_parent')
    await knex.schema.createTable('obj_parent', (t) => {
      t.increments('id')
      t.string('name').index()
      t.json('data')
    })
    await knex.schema.createTable('obj_child', (t) => {
      t.increments()
      t.integer('parent_id').references('obj_parent.id').onDelete('CASCADE')
      t.enum('kind', ['a', 'b'])
      t.decimal('m', 8, 2)
    })
    class Child extends Model {
      static tableName = 'obj_child'
    }
    class Parent extends Model {
      static tableName = 'obj_parent'
      static jsonAttributes = ['data']
      static relationMappings = () => ({
        children: { relation: Model.HasManyRelation, modelClass: Child, join: { from: 'obj_parent.id', to: 'obj_child.parent_id' } },
      })
    }
    Child.knex(knex)
    Parent.knex(knex)
    await Parent.query().insertGraph([{ name: 'x', data: { a: 1 }, children: [{ kind: 'a', m: 1.5 }, { kind: 'b', m: 2 }] }])
    await use(Parent, Child, knex)
  } finally {
    await knex.destroy()
  }
}

const checks = {
  mikro_finds_no_difference: withOrm(async (orm) => {
    const sql = await orm.getSchemaGenerator().getUpdateSchemaSQL({ dropTables: false })
    that(!/mk_/.test(sql), `the schema differs: ${sql}`)
  }),
  mikro_loads_a_graph: withOrm(async (orm) => {
    const [book] = await orm.em.fork().find('MkBook', { author: { name: 'x' } }, { populate: ['author', 'labels'] })
    same([book.author.tags, book.author.data, book.author.price, book.labels.length], [['p', 'q'], { k: 1 }, '1.50', 1])
  }),
  mikro_locks_optimistically: withOrm(async (orm) => {
    const [one, two] = [orm.em.fork(), orm.em.fork()]
    const mine = await one.findOneOrFail('MkAuthor', { name: 'x' })
    const theirs = await two.findOneOrFail('MkAuthor', { name: 'x' })
    mine.price = '2.00'
    await one.flush()
    same(mine.version, 2)
    theirs.price = '3.00'
    await fails(two.flush())
  }),
  mikro_locks_rows: withOrm(async (orm) => {
    await orm.em.fork().transactional(async (em) => {
      const author = await em.findOneOrFail('MkAuthor', { name: 'x' }, { lockMode: LockMode.PESSIMISTIC_WRITE })
      author.name = 'y'
    })
    same(await orm.em.fork().count('MkAuthor', { name: 'y' }), 1)
  }),
  mikro_pages_and_removes: withOrm(async (orm) => {
    const em = orm.em.fork()
    const [list, count] = await em.findAndCount('MkAuthor', { tags: { $contains: ['p'] } }, { limit: 1 })
    same([list.length, count], [1, 1])
    await em.removeAndFlush(list[0])
    same(await em.count('MkBook'), 0)
  }),
  mikro_upserts: withOrm(async (orm) => {
    const em = orm.em.fork()
    await em.upsert('MkAuthor', { name: 'x', price: '2.00', version: 1 })
    same((await orm.em.fork().findOneOrFail('MkAuthor', { name: 'x' })).price, '2.00')
  }),
  objection_loads_a_graph: withObjection(async (Parent) => {
    same((await Parent.query().withGraphFetched('children').first()).children.length, 2)
    same((await Parent.query().withGraphJoined('children').first()).children.length, 2)
  }),
  objection_upserts_a_graph: withObjection(async (Parent, Child) => {
    const parent = await Parent.query().withGraphFetched('children').first()
    await Parent.query().upsertGraphAndFetch({ id: parent.id, name: 'z', children: [{ id: parent.children[0].id, m: 9 }] })
    same(await Child.query().resultSize(), 1)
    same((await Child.query().first()).m, '9.00')
  }),
  objection_pages: withObjection(async (Parent, Child) => {
    const page = await Child.query().orderBy('id').page(0, 1)
    same([page.total, page.results.length], [2, 1])
    same(await Child.query().sum('m').first(), { sum: '3.50' })
  }),
  objection_describes: withObjection(async (Parent, Child, knex) => {
    same((await knex('obj_child').columnInfo()).m, { type: 'numeric', maxLength: null, nullable: true, defaultValue: null })
    same((await Parent.fetchTableMetadata()).columns, ['id', 'name', 'data'])
  }),
  objection_tells_constraints: withObjection(async (Parent, Child) => {
    const error = await fails(Child.query().insert({ parent_id: 99 }), '23503', (e) => e.nativeError.code)
    same(error.constraint, 'obj_child_parent_id_foreign')
  }),
}

const travels = {
  mikro_travels: withOrm(async (orm) => {
    const at = await pastInstant()
    await orm.em.fork().nativeDelete('MkAuthor', {})
    same(await orm.em.fork().count('MkBook'), 0)
    const past = await open(`-c chronogate.as_of=${at}`)
    try {
      const [author] = await past.em.fork().findAll('MkAuthor', { populate: ['books.labels'] })
      same([author.name, author.books.length, author.books[0].labels.length], ['x', 1, 1])
    } finally {
      await past.close(true)
    }
  }),
}

run('mikro_orm', checks, travels)
