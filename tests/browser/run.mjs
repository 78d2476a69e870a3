// Drives the dashboard, a shop in PHP and the pages for its visitors through an outage, with Debian's
// Chromium. Owns the shop, a gateway and a browser; ends all of them. Fails on an error of the console
// (a breach of the content policy is one), on a barrier that axe-core finds, and where a page is wider
// than its window.
//
// node run.mjs --binary <path> [--pictures <folder>]

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer as createWebServer } from 'node:http'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { chromium } from 'playwright-core'

const { values: options } = parseArgs({
  options: {
    binary: { type: 'string' },
    pictures: { type: 'string' }
  }
})
const TOKEN = 'a-token-for-the-test'
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const tally = { passed: 0, failed: 0 }
const pressed = new Set()
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
  await application.end()
}
console.log(`\n${tally.passed} passed, ${tally.failed} failed`)
process.exitCode = tally.failed === 0 ? 0 : 1

function check (what, holds) {
  tally[holds ? 'passed' : 'failed'] += 1
  if (!holds) console.log(`FAILED: ${what}`)
}

// The shop in PHP, on one port whenever it is there; its sessions outlive it.
async function startApplication () {
  const port = await freePort()
  const address = `127.0.0.1:${port}`
  const state = mkdtempSync(join(tmpdir(), 'retter-shop-'))
  const script = fileURLToPath(new URL('../apps/php/shop.php', import.meta.url))
  let child
  const start = async () => {
    let trouble
    child = spawn('php', ['-d', `session.save_path=${state}`, '-S', address, script], { stdio: 'ignore' })
    child.once('error', error => { trouble = `${error.message}; Debian has it in php-cli` })
    child.once('exit', code => { trouble ??= `it ended with ${code}` })
    while (!await takesConnections(port)) {
      if (trouble !== undefined) throw new Error(`php does not start: ${trouble}`)
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }
  const stop = async () => {
    const ended = new Promise(resolve => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }
  const end = async () => {
    if (child.exitCode === null && child.signalCode === null) await stop()
    rmSync(state, { recursive: true })
  }
  await start()
  return { address, start, stop, end }
}

async function freePort () {
  const server = createServer()
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise(resolve => server.close(resolve))
  return port
}

async function takesConnections (port) {
  const socket = connect(port, '127.0.0.1')
  const taken = await new Promise(resolve => {
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
  })
  socket.destroy()
  return taken
}

async function startGateway (application, more = {}) {
  const env = {
    ...more,
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

// `state` has the cookies of a visitor who comes back; `more` are further options of its browser.
async function open (width, scheme, url, state = undefined, more = {}) {
  const context = await browser.newContext({
    viewport: { width, height: 900 },
    colorScheme: scheme,
    locale: 'en-GB',
    storageState: state,
    ...more
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
    expression: `${axe};axe.run().then(found => JSON.stringify(found.violations.map(v => [v.id, v.nodes.map(n => n.target.join(' '))])))`,
    contextId: executionContextId,
    awaitPromise: true
  })
  const barriers = exceptionDetails === undefined ? result.value : JSON.stringify(exceptionDetails)
  check(`${name}: barriers ${barriers}`, barriers === '[]')
}

async function everywhere (name, url, prepare = async () => {}, state = undefined, more = () => ({})) {
  for (const width of [390, 1280]) {
    for (const scheme of ['light', 'dark']) {
      const page = await open(width, scheme, url, state, more())
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
  pressed.add(name)
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
  await waitingRoom()
  const names = await page.getByRole('button').allTextContents()
  for (const name of names) check(`${name} was pressed`, pressed.has(name))
}

// A visitor fills a cart while all is well.
async function shop () {
  const visitor = await open(390, 'light', gateway.front)
  await judge(visitor, 'shop')
  await visitor.getByRole('link', { name: 'Teapot no. 4' }).click()
  await visitor.getByRole('button', { name: 'Put into the cart' }).click()
  check('it is in the cart', await visitor.locator('#cart li').textContent() === 'Teapot no. 4')
  return visitor
}

// The same one while the shop is down: what was seen is there, what was not is not, and nothing is said to
// be sent that was not.
async function down (visitor) {
  await visitor.reload()
  check('the cart is rescued', await visitor.locator('#cart li').textContent() === 'Teapot no. 4')
  const state = await visitor.context().storageState()
  await everywhere('rescued', `${gateway.front}/cart`, async page => {
    check('it is the own one', await page.locator('#cart li').textContent() === 'Teapot no. 4')
  }, state)
  await everywhere('not-sent', `${gateway.front}/cart`, async page => {
    await page.getByLabel('Name').fill('Ada')
    await page.getByRole('button', { name: 'Order' }).click()
    const told = await page.textContent('body')
    check('the order was not sent, and that is said', told.includes('nothing has happened'))
    check('it is not sent again by itself', !told.includes('tries again'))
  }, state)
  const answer = await visitor.goto(`${gateway.front}/page/999`)
  const id = await answer.headerValue('x-request-id')
  check('a page without a copy is refused', answer.status() === 503)
  check('it is called by its number', (await visitor.locator('.code').textContent()).includes(id))
}

// And when it is back: the page that was waited for comes by itself, and the order goes through.
async function back (visitor) {
  await until('the page comes by itself', async () => {
    const title = await visitor.title().catch(() => '')
    return title === 'Shelf no. 999'
  })
  await visitor.goto(`${gateway.front}/cart`)
  await visitor.getByLabel('Name').fill('Ada')
  await visitor.getByRole('button', { name: 'Order' }).click()
  await until('it is ordered', async () => (await visitor.textContent('main')).includes('Ada, it is on its way'))
  await judge(visitor, 'ordered')
}

// An application that does one thing at a time, and is at it: whoever comes waits in line, and comes in by
// itself without a script.
async function waitingRoom () {
  const held = []
  const server = createWebServer((request, response) => {
    const answer = () => {
      response.setHeader('Content-Type', 'text/html')
      response.end(`<!doctype html><title>Shelf ${request.url}</title>`)
    }
    if (request.url === '/hold') held.push(answer)
    else answer()
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  const full = await startGateway(`127.0.0.1:${server.address().port}`, {
    RETTER_BACKEND_CONCURRENCY: '1',
    RETTER_BACKEND_QUEUE_TIMEOUT: '50ms',
    RETTER_BACKEND_TIMEOUT_HEAD: '1m',
    // What is held is work, however long it takes.
    RETTER_BACKEND_WAITING_MAX: '0',
    RETTER_BREAKER_SLOW_RATE: 'off'
  })
  let network = 0
  const elsewhere = () => ({ extraHTTPHeaders: { 'X-Forwarded-For': `198.51.${++network}.1` } })
  try {
    const hold = fetch(`${full.front}/hold`)
    await until('it is full', async () => held.length === 1)
    await everywhere('waiting-room', `${full.front}/1`, async page => {
      check('it is told that it is in line', (await page.textContent('h1')).includes('in line'))
      check('it has a place', /^[0-9]+$/.test(await page.locator('.place strong').textContent()))
    }, undefined, elsewhere)
    const more = { ...elsewhere(), javaScriptEnabled: false, locale: 'de-DE' }
    const visitor = await open(390, 'light', `${full.front}/2`, undefined, more)
    const place = await visitor.locator('.place strong').textContent()
    check('it is told so in its language', (await visitor.textContent('h1')).includes('Warteschlange'))
    if (options.pictures !== undefined) {
      await visitor.screenshot({ path: join(options.pictures, 'waiting-room-de.png'), fullPage: true })
    }
    await new Promise(resolve => visitor.once('load', resolve))
    check('it looks again by itself and keeps its place', Number(await visitor.locator('.place strong').textContent()) <= Number(place))
    held.pop()()
    await hold
    await until('and it comes in', async () => (await visitor.title().catch(() => '')) === 'Shelf /2')
    const [cookie] = await visitor.context().cookies()
    check('its place is nothing that a script could read', cookie.name === 'retter-room' && cookie.httpOnly)
  } finally {
    full.child.kill('SIGTERM')
    server.closeAllConnections()
    server.close()
  }
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
  pressed.add('Drop everything')
  await page.getByRole('button', { name: 'Drop everything' }).press('Enter')
  await press(page, 'Really drop everything?', '0 copies dropped')
}

async function outage (page) {
  for (let number = 0; number < 10; number += 1) await visit(`/page/${number}`)
  const visitor = await shop()
  await application.stop()
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
  await down(visitor)
  await press(page, 'Probe now', 'probing')
  await application.start()
  await until('it is back', async () => await word(page) === 'Back')
  await until('and the outage says so', async () => (await page.locator('#list').textContent()).includes('answers again'))
  await back(visitor)
  await everywhere('back', gateway.admin, enter)
}
