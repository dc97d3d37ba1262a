// Sequelize against the server: sync, models, associations, transactions, query interface.

const { Sequelize, DataTypes, Op, UniqueConstraintError, ForeignKeyConstraintError, DatabaseError, OptimisticLockError } = require('sequelize')
const { connection, same, that, fails, pastInstant, run } = require('../checks.cjs')

const open = (more = {}, dialectOptions = {}) => new Sequelize({ dialect: 'postgres', host: connection.host, port: connection.port, username: connection.user, password: connection.password, database: connection.database, logging: false, dialectOptions, ...more })

function define(db) {
  const User = db.define('User', {
    name: { type: DataTypes.STRING(40), allowNull: false, unique: 'sq_name' },
    age: { type: DataTypes.INTEGER, validate: { min: 0 } },
    mood: { type: DataTypes.ENUM('sad', 'happy'), defaultValue: 'sad' },
    data: DataTypes.JSONB,
    tags: DataTypes.ARRAY(DataTypes.STRING),
    money: DataTypes.DECIMAL(10, 2),
    born: DataTypes.DATEONLY,
  }, { tableName: 'sq_user', version: true, paranoid: true })
  const Pet = db.define('Pet', { id: { type: DataTypes.UUID, defaultValue: DataTypes.UUIDV4, primaryKey: true }, name: DataTypes.TEXT }, { tableName: 'sq_pet', indexes: [{ fields: ['name'], name: 'sq_pet_name' }] })
  User.hasMany(Pet, { as: 'pets', foreignKey: 'userId', onDelete: 'CASCADE' })
  Pet.belongsTo(User, { as: 'user', foreignKey: 'userId' })
  return { User, Pet }
}

const on = (use) => async () => {
  const db = open()
  try {
    await db.query('DROP TABLE IF EXISTS sq_pet, sq_user CASCADE; DROP TYPE IF EXISTS "enum_sq_user_mood"')
    const models = define(db)
    await db.sync()
    await use(db, models)
  } finally {
    await db.close()
  }
}

const ann = ({ User }) => User.create({ name: 'Ann', age: 30, data: { k: { n: 1 } }, tags: ['a'], money: '1.50', born: '2000-01-02', pets: [{ name: 'Rex' }, { name: 'Tom' }] }, { include: 'pets' })

const checks = {
  authenticates: async () => {
    const db = open()
    await db.authenticate()
    that((await db.databaseVersion()).startsWith('15'), await db.databaseVersion())
    await db.close()
  },
  sync_twice: on(async (db) => { await db.sync() }),
  sync_alter: on(async (db, m) => {
    await ann(m)
    db.define('User', { name: { type: DataTypes.STRING(90), allowNull: false }, age: DataTypes.BIGINT, extra: { type: DataTypes.TEXT, defaultValue: 'e' } }, { tableName: 'sq_user', version: true, paranoid: true })
    await db.models.User.sync({ alter: { drop: false } })
    same((await db.models.User.findOne()).extra, 'e')
  }),
  create_and_find: on(async (db, m) => {
    await ann(m)
    const seen = await m.User.findOne({ where: { name: 'Ann' }, include: 'pets', order: [['pets', 'name', 'ASC']] })
    same([seen.id, seen.age, seen.mood, seen.data, seen.tags, seen.money, seen.born, seen.version, seen.pets.map((p) => p.name)], [1, 30, 'sad', { k: { n: 1 } }, ['a'], '1.50', '2000-01-02', 0, ['Rex', 'Tom']])
  }),
  operators: on(async (db, m) => {
    await ann(m)
    await m.User.bulkCreate([{ name: 'Bob', age: 5 }, { name: 'Cid', age: 50, mood: 'happy' }])
    const names = async (where) => (await m.User.findAll({ where, order: ['name'] })).map((u) => u.name)
    same(await names({ age: { [Op.gt]: 10 } }), ['Ann', 'Cid'])
    same(await names({ name: { [Op.iLike]: 'b%' } }), ['Bob'])
    same(await names({ [Op.or]: [{ name: 'Ann' }, { mood: 'happy' }] }), ['Ann', 'Cid'])
    same(await names({ 'data.k.n': 1 }), ['Ann'])
    same(await names({ tags: { [Op.contains]: ['a'] } }), ['Ann'])
    same(await names({ id: { [Op.in]: [1, 2] }, age: { [Op.between]: [0, 9] } }), ['Bob'])
  }),
  find_and_count_with_paging: on(async (db, m) => {
    await ann(m)
    await m.User.bulkCreate([{ name: 'Bob' }])
    const { rows, count } = await m.User.findAndCountAll({ include: 'pets', distinct: true, limit: 1, offset: 1, order: [['name', 'ASC']] })
    same([rows.map((r) => r.name), count], [['Bob'], 2])
  }),
  aggregates: on(async (db, m) => {
    await ann(m)
    same([await m.Pet.count(), await m.User.max('age'), await m.User.sum('money')], [2, 30, 1.5])
    const grouped = await m.Pet.findAll({ attributes: ['userId', [db.fn('COUNT', db.col('id')), 'n']], group: 'userId', raw: true })
    same(grouped, [{ userId: 1, n: '2' }])
  }),
  update_save_increment: on(async (db, m) => {
    const user = await ann(m)
    user.age = 31
    await user.save()
    same(user.version, 1)
    await user.increment('age', { by: 2 })
    await user.reload()
    same(user.age, 33)
    same((await m.User.update({ age: 1 }, { where: { name: 'nobody' } }))[0], 0)
    same((await m.User.update({ age: 1 }, { where: { name: 'Ann' }, returning: true }))[1][0].age, 1)
  }),
  optimistic_lock: on(async (db, m) => {
    await ann(m)
    const [a, b] = await Promise.all([m.User.findOne(), m.User.findOne()])
    await a.update({ age: 1 })
    that((await fails(b.update({ age: 2 }))) instanceof OptimisticLockError, 'no OptimisticLockError')
  }),
  upsert_and_find_or_create: on(async (db, m) => {
    await m.User.upsert({ name: 'Ann', age: 1 }, { conflictFields: ['name'] })
    await m.User.upsert({ name: 'Ann', age: 2 }, { conflictFields: ['name'] })
    same((await m.User.findOne()).age, 2)
    same((await m.User.findOrCreate({ where: { name: 'Bob' }, defaults: { age: 4 } }))[1], true)
    same((await m.User.findOrCreate({ where: { name: 'Bob' } }))[1], false)
  }),
  paranoid_delete: on(async (db, m) => {
    const user = await ann(m)
    await user.destroy()
    same([await m.User.count(), await m.User.count({ paranoid: false })], [0, 1])
    await user.restore()
    await user.destroy({ force: true })
    same(await m.Pet.count(), 0)
  }),
  errors: on(async (db, m) => {
    await ann(m)
    that((await fails(m.User.create({ name: 'Ann' }))) instanceof UniqueConstraintError, 'unique')
    const error = await fails(m.Pet.create({ name: 'x', userId: 77 }))
    that(error instanceof ForeignKeyConstraintError, error.message)
    same(error.table, 'sq_pet')
    that((await fails(db.query('SELECT * FROM sq_nothing'))) instanceof DatabaseError, 'database error')
  }),
  transactions: on(async (db, m) => {
    await fails(db.transaction(async (transaction) => {
      await m.User.create({ name: 'no' }, { transaction })
      throw new Error('no')
    }))
    await db.transaction({ isolationLevel: Sequelize.Transaction.ISOLATION_LEVELS.SERIALIZABLE }, async (transaction) => {
      await m.User.create({ name: 'yes' }, { transaction })
      const locked = await m.User.findOne({ where: { name: 'yes' }, transaction, lock: transaction.LOCK.UPDATE })
      same(locked.name, 'yes')
      const inner = await db.transaction({ transaction })
      await m.User.create({ name: 'inner' }, { transaction: inner })
      await inner.rollback()
    })
    same((await m.User.findAll()).map((u) => u.name), ['yes'])
  }),
  query_interface: on(async (db) => {
    const q = db.getQueryInterface()
    await q.dropTable('sq_qi2')
    await q.dropTable('sq_qi')
    await q.createTable('sq_qi', { id: { type: DataTypes.INTEGER, primaryKey: true, autoIncrement: true }, a: DataTypes.STRING })
    await q.addColumn('sq_qi', 'b', { type: DataTypes.INTEGER, defaultValue: 4 })
    await q.renameColumn('sq_qi', 'a', 'c')
    await q.changeColumn('sq_qi', 'c', { type: DataTypes.TEXT, allowNull: false, defaultValue: 'z' })
    await q.addIndex('sq_qi', ['b'], { name: 'sq_qi_b', unique: true })
    await q.addConstraint('sq_qi', { type: 'check', fields: ['b'], name: 'sq_ck', where: { b: { [Op.gt]: 0 } } })
    same(Object.keys(await q.describeTable('sq_qi')), ['id', 'b', 'c'].sort((x, y) => ['id', 'c', 'b'].indexOf(x) - ['id', 'c', 'b'].indexOf(y)))
    same((await q.showIndex('sq_qi')).map((i) => [i.name, i.unique, i.primary]).sort(), [['sq_qi_b', true, false], ['sq_qi_pkey', true, true]])
    that((await q.showAllTables()).includes('sq_qi'), 'sq_qi is not listed')
    await q.removeConstraint('sq_qi', 'sq_ck')
    await q.removeIndex('sq_qi', 'sq_qi_b')
    await q.removeColumn('sq_qi', 'b')
    await q.renameTable('sq_qi', 'sq_qi2')
    await q.dropTable('sq_qi2')
  }),
  raw_query_with_binds: on(async (db) => {
    same(await db.query('SELECT $1::int + $2::int AS n', { bind: [1, 2], type: Sequelize.QueryTypes.SELECT }), [{ n: 3 }])
    same(await db.query('SELECT :a AS a', { replacements: { a: 'x' }, type: Sequelize.QueryTypes.SELECT }), [{ a: 'x' }])
  }),
}

const travels = {
  travels: on(async (db, m) => {
    const user = await ann(m)
    const at = await pastInstant()
    await m.Pet.destroy({ where: { name: 'Tom' } })
    await user.update({ name: 'Anna' })
    const graph = async (models, transaction) => {
      const seen = await models.User.findOne({ transaction })
      return [seen.name, (await seen.getPets({ order: ['name'], transaction })).map((p) => p.name)]
    }
    await db.transaction(async (transaction) => {
      await db.query(`SET LOCAL chronogate.as_of = '${at}'`, { transaction })
      same(await graph(m, transaction), ['Ann', ['Rex', 'Tom']])
    })
    same(await graph(m), ['Anna', ['Rex']])
    for (const past of [open({ database: `${connection.database}@${at}` }), open({}, { options: `-c chronogate.as_of=${at}` })]) {
      same(await graph(define(past)), ['Ann', ['Rex', 'Tom']])
      await past.close()
    }
  }),
}

run('sequelize', checks, travels)
