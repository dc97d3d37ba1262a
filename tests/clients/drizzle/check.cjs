// drizzle-orm (over pg and over postgres.js) against the server.

const { drizzle } = require('drizzle-orm/node-postgres')
const { drizzle: drizzleJs } = require('drizzle-orm/postgres-js')
const { migrate } = require('drizzle-orm/node-postgres/migrator')
const { pgTable, serial, integer, text, varchar, numeric, jsonb, timestamp, boolean, uuid } = require('drizzle-orm/pg-core')
const { relations, eq, gt, and, or, inArray, ilike, sql, desc, count, sum, isNull } = require('drizzle-orm')
const { Pool } = require('pg')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { connection, same, fails, pastInstant, run } = require('../checks.cjs')

const users = pgTable('dz_user', { id: serial('id').primaryKey(), name: varchar('name', { length: 40 }).notNull().unique(), age: integer('age').default(3), data: jsonb('data'), tags: text('tags').array(), money: numeric('money', { precision: 8, scale: 2 }), at: timestamp('at', { withTimezone: true }).defaultNow(), on: boolean('on').default(true), key: uuid('key').defaultRandom() })
const posts = pgTable('dz_post', { id: serial('id').primaryKey(), title: text('title').notNull(), author: integer('author').references(() => users.id, { onDelete: 'cascade' }) })
const schema = { users, posts, usersRelations: relations(users, ({ many }) => ({ posts: many(posts) })), postsRelations: relations(posts, ({ one }) => ({ author: one(users, { fields: [posts.author], references: [users.id] }) })) }

const DDL = `DROP TABLE IF EXISTS dz_post, dz_user;
CREATE TABLE dz_user (id serial PRIMARY KEY, name varchar(40) NOT NULL UNIQUE, age int DEFAULT 3, data jsonb, tags text[], money numeric(8,2), at timestamptz DEFAULT now(), "on" boolean DEFAULT true, key uuid DEFAULT gen_random_uuid());
CREATE TABLE dz_post (id serial PRIMARY KEY, title text NOT NULL, author int REFERENCES dz_user (id) ON DELETE CASCADE)`

const on = (use, more) => async () => {
  const pool = new Pool({ ...connection, ...more, max: 2 })
  try {
    const db = drizzle(pool, { schema })
    if (!more) {
      await pool.query(DDL)
      await db.insert(users).values([{ name: 'Ann', data: { k: 1 }, tags: ['x'], money: '2.50' }, { name: 'Bob', age: 9 }])
      await db.insert(posts).values([{ title: 'One', author: 1 }, { title: 'Two', author: 1 }])
    }
    await use(db, pool)
  } finally {
    await pool.end()
  }
}

const graph = async (db) => (await db.query.users.findMany({ columns: { name: true }, with: { posts: { columns: { title: true } } }, orderBy: users.id }))

const checks = {
  insert_returning: on(async (db) => {
    const [row] = await db.insert(users).values({ name: 'Cid' }).returning()
    same([row.id, row.name, row.age, row.data, row.on, row.at instanceof Date, row.key.length], [3, 'Cid', 3, null, true, true, 36])
  }),
  select_and_filters: on(async (db) => {
    const names = async (where) => (await db.select({ name: users.name }).from(users).where(where).orderBy(users.id)).map((r) => r.name)
    same(await names(eq(users.name, 'Ann')), ['Ann'])
    same(await names(or(gt(users.age, 5), inArray(users.id, [1]))), ['Ann', 'Bob'])
    same(await names(and(ilike(users.name, 'b%'), isNull(users.data))), ['Bob'])
    same(await names(sql`${users.data} @> ${JSON.stringify({ k: 1 })}::jsonb`), ['Ann'])
    same((await db.select().from(users).orderBy(desc(users.id)).limit(1).offset(1))[0].tags, ['x'])
  }),
  joins_and_aggregates: on(async (db) => {
    same(await db.select({ name: users.name, n: count(posts.id) }).from(users).leftJoin(posts, eq(posts.author, users.id)).groupBy(users.name).orderBy(users.name), [{ name: 'Ann', n: 2 }, { name: 'Bob', n: 0 }])
    same((await db.select({ s: sum(users.money) }).from(users))[0].s, '2.50')
    same(await db.$count(users, gt(users.age, 5)), 1)
  }),
  relational_queries: on(async (db) => {
    same(await graph(db), [{ name: 'Ann', posts: [{ title: 'One' }, { title: 'Two' }] }, { name: 'Bob', posts: [] }])
    same((await db.query.posts.findFirst({ with: { author: true }, orderBy: posts.id })).author.name, 'Ann')
  }),
  update_delete: on(async (db) => {
    same(await db.update(users).set({ age: sql`${users.age} + 1` }).where(eq(users.id, 1)).returning({ age: users.age }), [{ age: 4 }])
    await db.delete(users).where(eq(users.id, 1))
    same(await db.$count(posts), 0)
  }),
  upsert: on(async (db) => {
    const [row] = await db.insert(users).values({ name: 'Ann', age: 7 }).onConflictDoUpdate({ target: users.name, set: { age: sql`excluded.age` } }).returning({ age: users.age })
    same(row, { age: 7 })
    same(await db.insert(users).values({ name: 'Ann' }).onConflictDoNothing().returning(), [])
  }),
  transactions: on(async (db) => {
    await fails(db.transaction(async (tx) => {
      await tx.insert(users).values({ name: 'no' })
      tx.rollback()
    }))
    await db.transaction(async (tx) => {
      await tx.insert(users).values({ name: 'yes' })
      await tx.transaction((inner) => inner.insert(users).values({ name: 'yes' })).catch(() => {})
      await tx.select().from(users).where(eq(users.name, 'yes')).for('update')
    }, { isolationLevel: 'repeatable read' })
    same(await db.$count(users), 3)
  }),
  prepared: on(async (db) => {
    const find = db.select({ name: users.name }).from(users).where(eq(users.id, sql.placeholder('id'))).prepare('dz_find')
    same([await find.execute({ id: 1 }), await find.execute({ id: 2 })], [[{ name: 'Ann' }], [{ name: 'Bob' }]])
  }),
  common_table_expressions_and_sets: on(async (db) => {
    const old = db.$with('old').as(db.select().from(users).where(gt(users.age, 5)))
    same((await db.with(old).select({ name: old.name }).from(old)), [{ name: 'Bob' }])
    const { union } = require('drizzle-orm/pg-core')
    same((await union(db.select({ t: users.name }).from(users), db.select({ t: posts.title }).from(posts)).orderBy(sql`name`)).map((r) => r.t), ['Ann', 'Bob', 'One', 'Two'])
  }),
  error_has_the_cause: on(async (db) => {
    await fails(db.insert(users).values({ name: 'Ann' }), '23505', (e) => (e.cause || e).code)
  }),
  migrator: on(async (db, pool) => {
    await pool.query('DROP SCHEMA IF EXISTS dz_migrations CASCADE; DROP TABLE IF EXISTS dz_mig')
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'dz'))
    fs.mkdirSync(path.join(folder, 'meta'))
    fs.writeFileSync(path.join(folder, 'meta/_journal.json'), JSON.stringify({ version: '7', dialect: 'postgresql', entries: [{ idx: 0, version: '7', when: 1, tag: '0000_a', breakpoints: true }] }))
    fs.writeFileSync(path.join(folder, '0000_a.sql'), 'CREATE TABLE "dz_mig" ("id" serial PRIMARY KEY NOT NULL, "n" integer);\n--> statement-breakpoint\nCREATE INDEX "dz_mig_n" ON "dz_mig" USING btree ("n");')
    for (let i = 0; i < 2; i++) await migrate(db, { migrationsFolder: folder, migrationsSchema: 'dz_migrations' })
    same((await pool.query('SELECT count(*)::int AS n FROM dz_mig')).rows, [{ n: 0 }])
    fs.rmSync(folder, { recursive: true })
  }),
  over_postgres_js: on(async () => {
    const client = require('postgres')({ ...connection, username: connection.user, onnotice: () => {} })
    same((await graph(drizzleJs(client, { schema })))[0].posts.length, 2)
    await client.end()
  }),
}

const travels = {
  travels: on(async (db) => {
    const before = await graph(db)
    const at = await pastInstant()
    await db.delete(posts).where(eq(posts.title, 'One'))
    await db.update(users).set({ name: 'Anna' }).where(eq(users.id, 1))
    await db.transaction(async (tx) => {
      await tx.execute(sql.raw(`SET LOCAL chronogate.as_of = '${at}'`))
      same(await graph(tx), before)
    })
    same((await graph(db))[0], { name: 'Anna', posts: [{ title: 'Two' }] })
    await on(async (past) => same(await graph(past), before), { database: `${connection.database}@${at}` })()
    await on(async (past) => same(await graph(past), before), { options: `-c chronogate.as_of=${at}` })()
  }),
}

run('drizzle', checks, travels)
