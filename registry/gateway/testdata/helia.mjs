// Reads a dataset through a trustless gateway with Helia's verified fetch, which
// checks every block.
//
//   node helia.mjs BASE EXPECT
//
// EXPECT is {"files": {"CID/path": sha256 in hex, …}, "missing": "CID/path",
// "range": {"path": "CID/path", "from": n, "to": n, "sha256": "…"}}.
import { createHash } from 'node:crypto'
import assert from 'node:assert/strict'
import { createHeliaLight } from 'helia'
import { withHTTP } from '@helia/http'
import { createVerifiedFetchWithHelia } from '@helia/verified-fetch'

const [base, expectText] = process.argv.slice(2)
assert.equal(new URL(base).hostname, '127.0.0.1', 'only loopback')
const expect = JSON.parse(expectText)
const alive = setInterval(() => {}, 1000) // the timers of signals do not keep node alive
const h = withHTTP(createHeliaLight({}), { delegatedRouters: [], recursiveGateways: [base], allowInsecure: true, allowLocal: true })
h.addRouter({ name: 'nothing', capabilities: () => [], async * findProviders () {} })
const vf = await createVerifiedFetchWithHelia(await h.start())
const get = (path, headers = {}) => vf(`ipfs://${path}`, { allowInsecure: true, allowLocal: true, headers, signal: AbortSignal.timeout(30000) })
const hash = async resp => createHash('sha256').update(new Uint8Array(await resp.arrayBuffer())).digest('hex')

let n = 0
for (const [path, sha256] of Object.entries(expect.files)) {
  const resp = await get(path)
  assert.equal(resp.status, 200, path)
  assert.equal(await hash(resp), sha256, path)
  n++
}
const r = expect.range
const part = await get(r.path, { range: `bytes=${r.from}-${r.to}` })
assert.equal(part.status, 206, 'range')
assert.equal(await hash(part), r.sha256, 'range')
assert.equal((await get(expect.missing)).status, 404, 'missing')
await h.stop()
clearInterval(alive)
console.log(`${n} files, 1 range, 1 missing: verified`)
process.exit(0)
