// Drives the dashboard and the pages for visitors through an outage, with Debian's Chromium.
// Owns an application, a gateway and a browser; ends all of them. Fails on an error of the console
// (a breach of the content policy is one), on a barrier that axe-core finds, and where a page is wider
// than its window.
//
// node run.mjs --binary <path> [--pictures <folder>]

import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { chromium } from 'playwright-core'

const { values: options } = parseArgs({
  options: {
    binary: { type: 'string' },
    pictures: { type: 'string' }
  }
})
// A page that loads itself again is what a visitor of a site that is down wants: there is nothing on it
// that is read for longer, or filled in.
const RULES = { 'meta-refresh': { enabled: false } }
const TOKEN = 'a-token-for-the-test'
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const tally = { passed: 0, failed: 0 }
if (options.pictures !== undefined) mkdirSync(options.pictures, { recursive: true })

const application = await startApplication()
const gateway = await startGateway(application.address)
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox']
})
try {
  await main()
} catch (error) {
  check(`the run: ${error.stack}`, false)
} finally {
  await browser.close()
  gateway.child.kill('SIGTERM')
  application.stop()
}
console.log(`\n${tally.passed} passed, ${tally.failed} failed`)
process.exitCode = tally.failed === 0 ? 0 : 1

function check (what, holds) {
  tally[holds ? 'passed' : 'failed'] += 1
  if (!holds) console.log(`FAILED: ${what}`)
}

async function startApplication () {
  let server
  let port = 0
  const start = async () => {
    server = createServer((request, response) => {
      response.setHeader('Content-Type', 'text/html')
      response.end(`<!doctype html><html lang="en"><title>Shop</title><h1>${request.url.replace(/[^\w/]/g, '')}</h1></html>`)
    })
    await new Promise(resolve => server.listen(port, '127.0.0.1', resolve))
    port = server.address().port
  }
  const stop = () => {
    server.close()
    server.closeAllConnections()
  }
  await start()
  return { address: `127.0.0.1:${port}`, start, stop }
}

async function startGateway (application) {
  const env = {
    PATH: process.env.PATH,
    RETTER_BACKEND_BASEURL: `http://${application}`,
    RETTER_SERVER_LISTEN: '127.0.0.1:0',
    RETTER_ADMIN_LISTEN: '127.0.0.1:0',
    RETTER_ADMIN_TOKEN: TOKEN,
    RETTER_BACKEND_RESTART_WAIT: '0'
  }
  const child = spawn(options.binary, [], { env, stdio: ['ignore', 'ignore', 'pipe'] })
  return await new Promise((resolve, reject) => {
    let text = ''
    child.on('exit', code => reject(new Error(`it ended with ${code}: ${text}`)))
    child.stderr.on('data', data => {
      text += data
      const found = text.match(/listening on (\S+),.* admin on (\S+) /)
      if (found !== null) resolve({ child, front: `http://${found[1]}`, admin: `http://${found[2]}` })
    })
  })
}

// A visitor's request; each number is a network of its own.
async function visit (path, number = 1, more = {}) {
  const headers = { 'X-Forwarded-For': `203.0.${number % 250}.1`, ...more }
  const answer = await fetch(gateway.front + path, { headers })
  await answer.text()
  return answer
}

async function until (what, holds) {
  for (const end = Date.now() + 30_000; Date.now() < end;) {
    if (await holds()) return check(what, true)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  check(what, false)
}

async function open (width, scheme, url) {
  const context = await browser.newContext({
    viewport: { width, height: 900 },
    colorScheme: scheme,
    locale: 'en-GB'
  })
  const page = await context.newPage()
  // An answer that is an error is told on the console too: those are looked at by their status.
  page.on('console', message => {
    const isError = message.type() === 'error' && !message.text().startsWith('Failed to load resource')
    if (isError) check(`console: ${message.text()}`, false)
  })
  page.on('pageerror', error => check(`script: ${error}`, false))
  await page.goto(url)
  return page
}

// What a person would find wrong: barriers, and what is cut off or has to be scrolled sideways.
async function judge (page, name) {
  if (options.pictures !== undefined) {
    await page.screenshot({ path: join(options.pictures, `${name}.png`), fullPage: true })
  }
  const overflows = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth)
  check(`${name} fits`, !overflows)
  // Its own world: the content policy of the page lets no other script in.
  const session = await page.context().newCDPSession(page)
  const { frameTree } = await session.send('Page.getFrameTree')
  const { executionContextId } = await session.send('Page.createIsolatedWorld', {
    frameId: frameTree.frame.id
  })
  const { result, exceptionDetails } = await session.send('Runtime.evaluate', {
    expression: `${axe};axe.run({ rules: ${JSON.stringify(RULES)} }).then(found => JSON.stringify(found.violations.map(v => [v.id, v.nodes.map(n => n.target.join(' '))])))`,
    contextId: executionContextId,
    awaitPromise: true
  })
  const barriers = exceptionDetails === undefined ? result.value : JSON.stringify(exceptionDetails)
  check(`${name}: barriers ${barriers}`, barriers === '[]')
}

async function everywhere (name, url, prepare = async () => {}) {
  for (const width of [390, 1280]) {
    for (const scheme of ['light', 'dark']) {
      const page = await open(width, scheme, url)
      await prepare(page)
      await judge(page, `${name}-${width}-${scheme}`)
      await page.context().close()
    }
  }
}

async function enter (page) {
  await page.getByLabel('Token', { exact: true }).fill(TOKEN)
  await page.keyboard.press('Enter')
  await page.locator('#all').waitFor({ state: 'visible' })
}

async function word (page) {
  return await page.locator('#word').textContent()
}

async function press (page, name, done) {
  await page.getByRole('button', { name, exact: true }).press('Enter')
  await until(`${name} says ${done}`, async () => (await page.locator('#done').textContent()).includes(done))
}

async function main () {
  for (let number = 0; number < 40; number += 1) await visit(`/page/${number % 10}`, number)
  const page = await open(1280, 'light', gateway.admin)
  await page.getByLabel('Token', { exact: true }).waitFor()
  check('without the token nothing is shown', await page.locator('#all').isHidden())
  await judge(page, 'token')
  await enter(page)
  await until('all is well', async () => await word(page) === 'Well')
  check('the title says so', await page.title() === 'Well – RETTER')
  await until('answers are counted', async () => await page.locator('#fresh').textContent() === '40')
  await everywhere('well', gateway.admin, enter)
  await buttons(page)
  await outage(page)
}

async function buttons (page) {
  await press(page, 'Open', 'By hand: open')
  await until('it is open', async () => await word(page) === 'Open by hand')
  check('a page without a copy is refused', (await visit('/new')).status === 503)
  await press(page, 'Leave it to the circuits', 'The circuits decide')
  await press(page, 'Close', 'By hand: closed')
  await press(page, 'Leave it to the circuits', 'The circuits decide')
  await press(page, 'Probe now', 'nothing to probe')
  await page.getByLabel('Message for visitors').fill('Back at five')
  await press(page, 'Begin', 'By hand: maintenance')
  await until('it is maintenance', async () => await word(page) === 'Maintenance')
  await everywhere('maintenance-page', `${gateway.front}/nowhere`, async visitor => {
    check('visitors are told', (await visitor.textContent('body')).includes('Back at five'))
  })
  await press(page, 'End', 'The circuits decide')
  await page.getByLabel('Path').fill('/page/1')
  await press(page, 'Drop the page', '1 copies dropped')
  await page.getByLabel('Path').fill('/page/')
  await press(page, 'Drop all below', '9 copies dropped')
  await page.getByRole('button', { name: 'Drop everything' }).press('Enter')
  await press(page, 'Really drop everything?', '0 copies dropped')
}

async function outage (page) {
  for (let number = 0; number < 10; number += 1) await visit(`/page/${number}`)
  application.stop()
  let number = 0
  await until('the circuit is open', async () => {
    number += 1
    return (await visit(`/page/${number % 10}`, number)).headers.get('x-circuit') !== 'CLOSED'
  })
  for (let more = 0; more < 60; more += 1) await visit(more % 9 === 0 ? '/new' : `/page/${more % 10}`, more)
  await until('it is down', async () => await word(page) === 'Down')
  await until('rescues are shown', async () => await page.locator('#rescued').textContent() !== '0')
  check('the outage is told', (await page.locator('#list').textContent()).includes('goes on'))
  await everywhere('down', gateway.admin, enter)
  await everywhere('error-page', `${gateway.front}/nowhere`)
  await press(page, 'Probe now', 'probing')
  await application.start()
  await until('it is back', async () => await word(page) === 'Back')
}
