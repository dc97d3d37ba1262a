// Prisma's client (its query compiler is WebAssembly inside the package, over the pg adapter) against the server.
//
// Prisma's schema engine is a binary that its packages download, so `migrate` and `db pull` are not run here; the tables are made
// by the statements that `prisma migrate` writes for this schema.

const { connection, same, that, fails, pastInstant, run } = require('../checks.cjs')
const { PrismaClient, Prisma } = require(process.env.PRISMA_CLIENT || '@prisma/client')
const { PrismaPg } = require('@prisma/adapter-pg')

const DDL = [
  'DROP TABLE IF EXISTS "_LabelToPost"', 'DROP TABLE IF EXISTS "pr_post"', 'DROP TABLE IF EXISTS "pr_label"', 'DROP TABLE IF EXISTS "pr_user"', 'DROP TYPE IF EXISTS "pr_role"',
  `CREATE TYPE "pr_role" AS ENUM ('USER', 'ADMIN')`,
  `CREATE TABLE "pr_user" ("id" SERIAL NOT NULL, "email" TEXT NOT NULL, "name" TEXT, "age" INTEGER, "score" DOUBLE PRECISION, "money" DECIMAL(10,2), "big" BIGINT, "data" JSONB, "tags" TEXT[], "bytes" BYTEA, "active" BOOLEAN NOT NULL DEFAULT true, "born" DATE, "created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP, "role" "pr_role" NOT NULL DEFAULT 'USER', CONSTRAINT "pr_user_pkey" PRIMARY KEY ("id"))`,
  `CREATE TABLE "pr_post" ("id" UUID NOT NULL, "title" TEXT NOT NULL, "views" INTEGER NOT NULL DEFAULT 0, "authorId" INTEGER NOT NULL, CONSTRAINT "pr_post_pkey" PRIMARY KEY ("id"))`,
  `CREATE TABLE "pr_label" ("id" SERIAL NOT NULL, "text" TEXT NOT NULL, CONSTRAINT "pr_label_pkey" PRIMARY KEY ("id"))`,
  `CREATE TABLE "_LabelToPost" ("A" INTEGER NOT NULL, "B" UUID NOT NULL, CONSTRAINT "_LabelToPost_AB_pkey" PRIMARY KEY ("A","B"))`,
  'CREATE UNIQUE INDEX "pr_user_email_key" ON "pr_user"("email")', 'CREATE UNIQUE INDEX "pr_post_authorId_title_key" ON "pr_post"("authorId", "title")', 'CREATE UNIQUE INDEX "pr_label_text_key" ON "pr_label"("text")',
  'CREATE INDEX "_LabelToPost_B_index" ON "_LabelToPost"("B")',
  'ALTER TABLE "pr_post" ADD CONSTRAINT "pr_post_authorId_fkey" FOREIGN KEY ("authorId") REFERENCES "pr_user"("id") ON DELETE CASCADE ON UPDATE CASCADE',
  'ALTER TABLE "_LabelToPost" ADD CONSTRAINT "_LabelToPost_A_fkey" FOREIGN KEY ("A") REFERENCES "pr_label"("id") ON DELETE CASCADE ON UPDATE CASCADE',
  'ALTER TABLE "_LabelToPost" ADD CONSTRAINT "_LabelToPost_B_fkey" FOREIGN KEY ("B") REFERENCES "pr_post"("id") ON DELETE CASCADE ON UPDATE CASCADE',
]

const open = (more = {}) => new PrismaClient({ adapter: new PrismaPg({ ...connection, ...more }), log: [] })
const on = (use) => async () => {
  const db = open()
  try {
    for (const statement of DDL) await db.$executeRawUnsafe(statement)
    await use(db)
  } finally {
    await db.$disconnect()
  }
}

const ann = (db) => db.user.create({ data: { email: 'ann@x', name: 'Ann', age: 30, score: 1.5, money: '10.25', big: 2n ** 60n, data: { k: [1] }, tags: ['a', 'b'], bytes: new Uint8Array([0, 255]), born: new Date('2000-01-02'), posts: { create: [{ title: 'One', labels: { create: [{ text: 'red' }] } }, { title: 'Two', views: 5 }] } }, include: { posts: { include: { labels: true }, orderBy: { title: 'asc' } } } })

const checks = {
  raw_queries: on(async (db) => {
    same(await db.$queryRaw`SELECT ${1}::int AS a, ${'x'} AS b`, [{ a: 1, b: 'x' }])
    same(await db.$executeRaw`UPDATE pr_user SET name = 'x'`, 0)
  }),
  nested_create: on(async (db) => {
    const user = await ann(db)
    same([user.id, user.money.toString(), user.big, user.data, user.tags, Array.from(user.bytes), user.born.toISOString().slice(0, 10), user.role, user.active], [1, '10.25', 2n ** 60n, { k: [1] }, ['a', 'b'], [0, 255], '2000-01-02', 'USER', true])
    same(user.posts.map((p) => [p.title, p.labels.map((l) => l.text)]), [['One', ['red']], ['Two', []]])
  }),
  find_with_filters: on(async (db) => {
    await ann(db)
    await db.user.createMany({ data: [{ email: 'bob@x', name: 'Bob', age: 5, role: 'ADMIN' }, { email: 'cid@x' }] })
    const names = async (where) => (await db.user.findMany({ where, orderBy: { email: 'asc' } })).map((u) => u.email[0])
    same(await names({ age: { gt: 10 } }), ['a'])
    same(await names({ name: { contains: 'B', mode: 'insensitive' } }), ['b'])
    same(await names({ OR: [{ name: null }, { role: 'ADMIN' }] }), ['b', 'c'])
    same(await names({ tags: { has: 'a' } }), ['a'])
    same(await names({ posts: { some: { views: { gte: 5 } } } }), ['a'])
    same(await names({ posts: { none: {} } }), ['b', 'c'])
    same(await names({ email: { in: ['ann@x', 'cid@x'] } }), ['a', 'c'])
    same(await names({ data: { path: ['k'], array_contains: 1 } }), ['a'])
    same(await names({ NOT: { age: 5 } }), ['a'])
  }),
  paging_and_cursor: on(async (db) => {
    await db.user.createMany({ data: Array.from({ length: 9 }, (_, i) => ({ email: `${i}` })) })
    same((await db.user.findMany({ skip: 2, take: 2, orderBy: { id: 'asc' }, select: { id: true } })).map((u) => u.id), [3, 4])
    same((await db.user.findMany({ cursor: { id: 4 }, skip: 1, take: 2, orderBy: { id: 'asc' }, select: { id: true } })).map((u) => u.id), [5, 6])
    same((await db.user.findMany({ take: -1, orderBy: { id: 'asc' } })).map((u) => u.id), [9])
  }),
  find_unique: on(async (db) => {
    await ann(db)
    same((await db.user.findUnique({ where: { email: 'ann@x' }, select: { name: true, _count: { select: { posts: true } } } })), { name: 'Ann', _count: { posts: 2 } })
    same(await db.user.findUnique({ where: { id: 99 } }), null)
    same((await fails(db.user.findUniqueOrThrow({ where: { id: 99 } }))).code, 'P2025')
    same((await db.post.findUnique({ where: { authorId_title: { authorId: 1, title: 'Two' } }, include: { author: true } })).author.name, 'Ann')
  }),
  updates: on(async (db) => {
    await ann(db)
    same((await db.user.update({ where: { id: 1 }, data: { age: { increment: 2 }, tags: { push: 'c' }, role: 'ADMIN' } })).tags, ['a', 'b', 'c'])
    same((await db.post.updateMany({ where: { views: { lt: 9 } }, data: { views: 9 } })).count, 2)
    same((await db.post.updateMany({ where: { views: 1 }, data: { views: 2 } })).count, 0)
    same((await db.post.updateManyAndReturn({ where: { views: 9 }, data: { views: { multiply: 2 } } })).map((p) => p.views), [18, 18])
    same((await fails(db.user.update({ where: { id: 77 }, data: { age: 1 } }))).code, 'P2025')
  }),
  upsert: on(async (db) => {
    for (const name of ['first', 'second']) same((await db.user.upsert({ where: { email: 'u' }, create: { email: 'u', name }, update: { name } })).name, name)
    same(await db.user.count(), 1)
  }),
  connect_and_disconnect: on(async (db) => {
    const user = await ann(db)
    const id = user.posts[1].id
    await db.post.update({ where: { id }, data: { labels: { connectOrCreate: { where: { text: 'red' }, create: { text: 'red' } } } } })
    same((await db.label.findFirst({ include: { posts: true } })).posts.length, 2)
    await db.post.update({ where: { id }, data: { labels: { set: [] } } })
    same(await db.post.count({ where: { labels: { some: { text: 'red' } } } }), 1)
  }),
  deletes: on(async (db) => {
    await ann(db)
    await db.user.delete({ where: { id: 1 } })
    same([await db.post.count(), (await db.user.deleteMany()).count], [0, 0])
  }),
  aggregates: on(async (db) => {
    await ann(db)
    const seen = await db.post.aggregate({ _sum: { views: true }, _avg: { views: true }, _count: true, _max: { title: true } })
    same(seen, { _sum: { views: 5 }, _avg: { views: 2.5 }, _count: 2, _max: { title: 'Two' } })
    same(await db.post.groupBy({ by: ['authorId'], _count: { _all: true }, having: { views: { _sum: { gt: 1 } } } }), [{ authorId: 1, _count: { _all: 2 } }])
  }),
  create_many: on(async (db) => {
    same((await db.user.createMany({ data: [{ email: 'a' }, { email: 'b' }, { email: 'a' }], skipDuplicates: true })).count, 2)
    same((await db.user.createManyAndReturn({ data: [{ email: 'c' }], select: { email: true } })), [{ email: 'c' }])
  }),
  transactions: on(async (db) => {
    await fails(db.$transaction([db.user.create({ data: { email: 'a' } }), db.user.create({ data: { email: 'a' } })]))
    same(await db.user.count(), 0)
    await db.$transaction(async (tx) => {
      await tx.user.create({ data: { email: 'a' } })
      same(await tx.user.count(), 1)
    }, { isolationLevel: 'Serializable' })
    await fails(db.$transaction(async (tx) => {
      await tx.user.create({ data: { email: 'b' } })
      throw new Error('no')
    }))
    same(await db.user.count(), 1)
  }),
  errors: on(async (db) => {
    await ann(db)
    const error = await fails(db.user.create({ data: { email: 'ann@x' } }))
    same(error.code, 'P2002')
    same((await fails(db.post.create({ data: { title: 'x', authorId: 99 } }))).code, 'P2003')
    that((await fails(db.$queryRaw`SELECT * FROM pr_nowhere`)).code === 'P2010', 'P2010')
  }),
  distinct_and_order_by_relation: on(async (db) => {
    await ann(db)
    same((await db.post.findMany({ distinct: ['authorId'], orderBy: { title: 'asc' } })).map((p) => p.title), ['One'])
    same((await db.user.findMany({ orderBy: [{ posts: { _count: 'desc' } }, { name: { sort: 'asc', nulls: 'last' } }] })).length, 1)
  }),
}

const travels = {
  travels: on(async (db) => {
    await ann(db)
    const at = await pastInstant()
    await db.user.update({ where: { id: 1 }, data: { name: 'Anna', posts: { deleteMany: { title: 'One' } } } })
    const graph = async (p) => p.user.findFirst({ select: { name: true, posts: { select: { title: true, labels: { select: { text: true } } }, orderBy: { title: 'asc' } } } })
    const then = { name: 'Ann', posts: [{ title: 'One', labels: [{ text: 'red' }] }, { title: 'Two', labels: [] }] }
    same(await graph(db), { name: 'Anna', posts: [{ title: 'Two', labels: [] }] })
    await db.$transaction(async (tx) => {
      await tx.$executeRawUnsafe(`SET LOCAL chronogate.as_of = '${at}'`)
      same(await graph(tx), then)
    })
    for (const past of [open({ database: `${connection.database}@${at}` }), open({ options: `-c chronogate.as_of=${at}` })]) {
      same(await graph(past), then)
      await past.$disconnect()
    }
  }),
}

run('prisma', checks, travels)
