// Reads CARs with @ipld/car and hashes every block, which that library does not.
//
//   node car.mjs BASE ROOT FILE
//
// FILE is a name below ROOT, of a file of more than three leaves of 1 MiB; the
// root directory also has "many", a directory of several shards.
import assert from 'node:assert/strict'
import { CarReader } from '@ipld/car'
import { sha256 } from 'multiformats/hashes/sha2'
import * as dagPB from '@ipld/dag-pb'

const [base, root, file] = process.argv.slice(2)
assert.equal(new URL(base).hostname, '127.0.0.1', 'only loopback')
const accept = 'application/vnd.ipld.car; version=1; order=dfs; dups=n'
let blocksRead = 0

async function car (path, headers = { accept }) {
  const resp = await fetch(base + '/ipfs/' + path, { headers })
  assert.equal(resp.status, 200, path)
  assert.match(resp.headers.get('content-type'), /application\/vnd\.ipld\.car; version=1; order=dfs; dups=n/)
  assert.equal(resp.headers.get('x-content-type-options'), 'nosniff')
  const bytes = new Uint8Array(await resp.arrayBuffer())
  const reader = await CarReader.fromBytes(bytes)
  const blocks = []
  for await (const { cid, bytes } of reader.blocks()) {
    const got = await sha256.digest(bytes)
    assert.deepEqual(got.digest, cid.multihash.digest, `${path}: ${cid}`)
    blocks.push({ cid, bytes })
    blocksRead++
  }
  assert.equal(new Set(blocks.map(b => b.cid.toString())).size, blocks.length, `${path}: a block stands there twice`)
  return { bytes, blocks, roots: await reader.getRoots() }
}

const links = b => b.cid.code === dagPB.code ? dagPB.decode(b.bytes).Links.map(l => l.Hash.toString()) : []

// The order is depth first: each block is the next link of the deepest open node.
function depthFirst (blocks) {
  const seen = new Set()
  const byCID = new Map(blocks.map(b => [b.cid.toString(), b]))
  const order = []
  const visit = c => {
    if (seen.has(c)) return
    seen.add(c)
    order.push(c)
    for (const l of links(byCID.get(c))) if (byCID.has(l)) visit(l)
  }
  visit(blocks[0].cid.toString())
  assert.deepEqual(blocks.map(b => b.cid.toString()), order)
}

const all = await car(root)
assert.equal(all.roots.length, 1)
assert.equal(all.roots[0].toString(), root)
assert.equal(all.blocks[0].cid.toString(), root, 'the first block is the root')
depthFirst(all.blocks)
const again = await car(root)
assert.deepEqual(again.bytes, all.bytes, 'a second request has other bytes')

const one = await car(`${root}/${file}`)
assert.equal(one.blocks[0].cid.toString(), root, 'the path comes first')
const fileCID = one.roots[0].toString()
assert.ok(links(one.blocks[0]).includes(fileCID))
assert.equal(one.blocks.filter(b => b.cid.toString() === fileCID).length, 1)
assert.equal((await car(`${fileCID}?dag-scope=block`)).blocks.length, 1)
const shards = await car(`${root}/many?dag-scope=entity`)
assert.ok(shards.blocks.length > 3 && shards.blocks.slice(1).every(b => b.cid.code === dagPB.code), 'all shards, no files')
const range = await car(`${fileCID}?dag-scope=entity&entity-bytes=2097152:2097251`)
assert.equal(range.blocks.length, 2, 'the node of the file and one leaf')

const raw = await fetch(`${base}/ipfs/${fileCID}?format=raw`)
assert.equal(raw.headers.get('content-type'), 'application/vnd.ipld.raw')
assert.match(raw.headers.get('cache-control'), /immutable/)
assert.deepEqual((await sha256.digest(new Uint8Array(await raw.arrayBuffer()))).digest, one.roots[0].multihash.digest)
const etag = raw.headers.get('etag')
assert.equal((await fetch(`${base}/ipfs/${fileCID}?format=raw`, { headers: { 'if-none-match': etag } })).status, 304)
assert.equal((await fetch(`${base}/ipfs/${fileCID}?format=raw`, { method: 'HEAD' })).headers.get('content-length'), String(one.blocks.find(b => b.cid.toString() === fileCID).bytes.length))
console.log(`${blocksRead} blocks hashed`)
