// Opens a directory page and files of a dataset in Chromium, at two sizes.
//
//   node browser.mjs CHROMIUM BASE ROOT FOLDER
//
// BASE is http://127.0.0.1:PORT or http://localhost:PORT. Screenshots go to
// FOLDER. The root has notes.txt, a directory dir, page.html with a script that
// changes the title, and style.css, which page.html uses.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const [executablePath, base, root, folder] = process.argv.slice(2)
const port = new URL(base).port
assert.match(new URL(base).hostname, /^(127\.0\.0\.1|localhost)$/, 'only loopback')
const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost']
})
const origin = `http://${root}.ipfs.localhost:${port}`
let pages = 0
for (const [size, viewport] of Object.entries({ wide: { width: 1280, height: 800 }, narrow: { width: 390, height: 844 } })) {
  const page = await (await browser.newContext({ viewport })).newPage()
  const foreign = []
  const errors = []
  page.on('request', r => {
    const u = new URL(r.url())
    if (u.protocol !== 'data:' && (u.port !== port || !/^(127\.0\.0\.1|(.*\.)?localhost)$/.test(u.hostname))) foreign.push(r.url())
  })
  page.on('console', m => { if (m.type() === 'error') errors.push(m.text()) })
  const open = async (url, name) => {
    const resp = await page.goto(url)
    assert.ok(resp.status() < 400, `${url}: ${resp.status()}`)
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth).catch(() => 0)
    assert.ok(wide <= 0, `${url} scrolls sideways by ${wide} at ${size}`)
    if (name) await page.screenshot({ path: join(folder, `${name}-${size}.png`) })
    pages++
    return resp
  }
  // A path on localhost ends at the origin of the root.
  await open(`http://localhost:${port}/ipfs/${root}/`, 'directory')
  assert.equal(new URL(page.url()).origin, origin)
  assert.equal(await page.locator('script').count(), 0)
  assert.ok((await page.textContent('.terms')).includes('CC-BY-4.0'))
  await page.click('text=dir/')
  await page.waitForURL(`${origin}/dir/`)
  await page.screenshot({ path: join(folder, `subdirectory-${size}.png`) })
  await page.click('text=..')
  await page.waitForURL(`${origin}/`)
  await page.click('text=notes.txt')
  await page.waitForURL(`${origin}/notes.txt`)
  assert.ok((await page.textContent('body')).includes('some notes'))
  assert.deepEqual(errors, [], `console errors at ${size}`)
  // A page of the dataset: its style applies, its script does not run, and it has
  // no cookies to read or to leave.
  await open(`${origin}/page.html`, 'page')
  assert.equal(await page.title(), 'before')
  assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector('h1')).color), 'rgb(0, 128, 0)')
  assert.deepEqual(await page.context().cookies(), [])
  errors.length = 0 // the browser says that it blocked the script
  // On a host that all datasets share the page is a download, not a page.
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.goto(`http://127.0.0.1:${port}/ipfs/${root}/page.html`).catch(() => {})
  ])
  assert.equal(download.suggestedFilename(), 'page.html')
  assert.deepEqual(foreign, [], 'requests to other hosts')
  await page.context().close()
}
await browser.close()
console.log(`${pages} pages`)
