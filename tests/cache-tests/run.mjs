// Runs http-tests/cache-tests against one binary in one mode and compares with expected.json.
// Owns an origin and a gateway as processes of its own, both on free loopback ports; ends both.
//
// node run.mjs --binary <path> --mode strict|session [--id <test>] [--show]

import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'

import amend from './amend.mjs'
import own from './own.mjs'

const require = createRequire(import.meta.url)
const { values: options } = parseArgs({
  options: {
    binary: { type: 'string' },
    mode: { type: 'string', default: 'session' },
    id: { type: 'string' },
    show: { type: 'boolean', default: false }
  }
})
const KINDS = ['required', 'optimal', 'check']
const suitePath = dirname(require.resolve('http-cache-tests/package.json'))
const children = []

try {
  process.exitCode = await main() ? 0 : 1
} finally {
  for (const child of children) child.kill('SIGTERM')
}

async function main () {
  const suites = await loadSuites()
  const origin = await startOrigin()
  const base = await startGateway(origin)
  const results = await runSuites(suites, base)
  return options.id === undefined ? report(suites, results) : Object.keys(results).length > 0
}

async function loadSuites () {
  const load = async path => (await import(join(suitePath, path))).default
  const released = (await load('tests/index.mjs'))
    .map(suite => ({ ...suite, tests: suite.tests.map(amend) }))
  const suites = [...released, own]
  if (options.id === undefined) return suites
  return suites
    .map(suite => ({ ...suite, tests: suite.tests.filter(test => test.id === options.id) }))
    .filter(suite => suite.tests.length > 0)
    .map(suite => ({ ...suite, tests: suite.tests.map(test => ({ ...test, dump: true })) }))
}

// The suite's own server; with port 0 it prints the one it got.
async function startOrigin () {
  const env = {
    ...process.env,
    npm_config_protocol: 'http',
    npm_config_port: '0',
    npm_config_pidfile: '/dev/null'
  }
  const child = spawn(process.execPath, ['--no-warnings', 'server/server.mjs'],
    { cwd: suitePath, env, stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  return new Promise((resolve, reject) => {
    let text = ''
    child.on('exit', code => reject(new Error(`the origin ended with ${code}`)))
    child.stdout.on('data', data => {
      text += data
      const port = /Listening on http:.*:(\d+)\//.exec(text)
      if (port) resolve(`http://localhost:${port[1]}`)
      if (options.id !== undefined) process.stdout.write(data)
    })
  })
}

async function startGateway (origin) {
  const port = await freePort()
  const env = {
    ...process.env,
    RETTER_BACKEND_BASEURL: origin,
    RETTER_SERVER_LISTEN: `127.0.0.1:${port}`,
    RETTER_ADMIN_LISTEN: 'off',
    RETTER_CACHE_RESCUE: options.mode,
    // The suite names its requests in fields of its own, which are no visitors.
    RETTER_CACHE_HARMLESS_FIELDS: 'known,test-name,test-id,req-num',
    // The suite's origin counts what it is asked, also by a stranger.
    RETTER_CACHE_PUBLIC: 'off',
    // Failures are part of the tests; the circuit must not open and answer for the cache.
    RETTER_BREAKER_FAIL_RATE: '1',
    RETTER_BREAKER_CONSECUTIVE_FAIL: '1000000',
    // Nor must a busy machine make the origin slow or full, so that copies answer for it.
    RETTER_BREAKER_SLOW_RATE: 'off',
    RETTER_BACKEND_CONCURRENCY_MIN: '256'
  }
  const child = spawn(options.binary, [], { env, stdio: ['ignore', 'ignore', 'inherit'] })
  children.push(child)
  const base = `http://127.0.0.1:${port}`
  for (let tries = 0; tries < 100; tries++) {
    if (child.exitCode !== null) throw new Error(`the gateway ended with ${child.exitCode}`)
    try {
      await fetch(`${base}/CNAME`)
      return base
    } catch {
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }
  throw new Error('the gateway did not come up')
}

function freePort () {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

async function runSuites (suites, base) {
  const { runTests, getResults } = await import(join(suitePath, 'client/runner.mjs'))
  const fetch = createRequire(join(suitePath, 'cli.mjs'))('node-fetch')
  await runTests(suites, fetch, false, base, 25)
  return getResults()
}

// What is expected: every test passes but those that are listed with a reason; a required one only
// where the list says so. A listed test that passes is as wrong: the list is to be true.
function report (suites, results) {
  const groups = JSON.parse(readFileSync(new URL('./expected.json', import.meta.url)))
  const listed = new Map(groups.flatMap(group => group.tests.map(id => [id, group])))
  const none = () => Object.fromEntries(KINDS.map(kind => [kind, { passed: 0, all: 0 }]))
  const counts = { suite: none(), own: none() }
  const ownTests = new Set(own.tests.map(test => test.id))
  const wrong = []
  for (const test of suites.flatMap(suite => suite.tests)) {
    if (test.browser_only) continue
    const kind = test.kind ?? 'required'
    const result = results[test.id] ?? ['Harness', 'was not run']
    const passed = result === true
    const group = listed.get(test.id)
    listed.delete(test.id)
    const count = counts[ownTests.has(test.id) ? 'own' : 'suite'][kind]
    count.all += 1
    count.passed += passed
    if (options.show && !passed) console.log(`${kind} ${test.id}: ${result[1]}`)
    if (passed && group) wrong.push(`${test.id} passes but is listed as failing`)
    const isAllowed = group && (kind !== 'required' || group.required)
    if (!passed && !isAllowed) wrong.push(`${kind} ${test.id}: ${result.join(': ')}`)
  }
  wrong.push(...[...listed.keys()].map(id => `${id} is listed, but there is no such test`))
  for (const [whose, found] of Object.entries(counts)) {
    const summary = KINDS.map(kind => `${kind} ${found[kind].passed}/${found[kind].all}`)
    console.log(`${whose} ${options.mode}: ${summary.join(', ')}`)
  }
  for (const line of wrong) console.log(`  ${line}`)
  return wrong.length === 0
}
