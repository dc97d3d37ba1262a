// The common form of the checks that are written in JavaScript.
//
// A check is an async function that throws when the server does not do what PostgreSQL 15 does. `run` runs them one by one, prints
// `ok NAME` or `not ok NAME: reason` for each, and last `CLIENT: N passed, N failed`. Checks of time travel run only where
// CHRONOGATE_TRAVEL is set, since PostgreSQL has no past. Names given as arguments run only those checks.

const { isDeepStrictEqual, inspect } = require('node:util')

const connection = {
  host: process.env.PGHOST || '127.0.0.1',
  port: Number(process.env.PGPORT || 5433),
  user: process.env.PGUSER || 'chronogate',
  password: process.env.PGPASSWORD || '',
  database: process.env.PGDATABASE || 'chronogate',
}
const MILLISECONDS_PER_CHECK = 30_000

const plain = (value) => {
  if (Array.isArray(value)) return Array.from(value, plain)
  if (value && typeof value === 'object' && !(value instanceof Date) && !Buffer.isBuffer(value)) {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]))
  }
  return value
}

function same(seen, expected, what = 'answer') {
  if (!isDeepStrictEqual(plain(seen), plain(expected))) throw new Error(`${what} is ${inspect(seen, { breakLength: Infinity })}, not ${inspect(expected, { breakLength: Infinity })}`)
}

function that(condition, what) {
  if (!condition) throw new Error(what)
}

// The error that `promise` is rejected with; with `code`, of that SQLSTATE.
async function fails(promise, code, read = (e) => e.code) {
  let error
  try {
    await promise
  } catch (e) {
    error = e
  }
  if (!error) throw new Error(`nothing failed${code ? ` with ${code}` : ''}`)
  if (code !== undefined && read(error) !== code) throw new Error(`SQLSTATE is ${read(error)}, not ${code}: ${error.message}`)
  return error
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// An instant that lies between what was committed before this call and what is committed after it.
async function pastInstant() {
  await sleep(20)
  const at = new Date().toISOString()
  await sleep(20)
  return at
}

async function run(client, checks, travels = {}) {
  const all = { ...checks, ...(process.env.CHRONOGATE_TRAVEL ? travels : {}) }
  const wanted = process.argv.slice(2)
  let passed = 0
  let failed = 0
  let late
  for (const [name, check] of Object.entries(all)) {
    if (wanted.length && !wanted.includes(name)) continue
    const timeout = new Promise((_, reject) => {
      late = setTimeout(() => reject(new Error(`no end within ${MILLISECONDS_PER_CHECK} ms`)), MILLISECONDS_PER_CHECK)
    })
    try {
      await Promise.race([check(), timeout])
      passed += 1
      console.log(`ok ${name}`)
    } catch (error) {
      failed += 1
      const reason = String((error && error.message) || error).replace(/\s+/g, ' ')
      console.log(`not ok ${name}: ${reason.slice(0, 400)}`)
      if (process.env.CLIENT_TRACE) console.log(error)
    } finally {
      clearTimeout(late)
    }
  }
  console.log(`${client}: ${passed} passed, ${failed} failed`)
  process.exit(0)
}

process.on('unhandledRejection', () => {})

module.exports = { connection, same, that, fails, sleep, pastInstant, run }
