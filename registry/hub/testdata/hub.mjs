// The npm client @huggingface/hub, unmodified, against a registry on loopback.
// It reads all of one dataset, uploads another, reads that, and ends with a line
// of counts. Usage: node hub.mjs TOOLS HUB_URL READ_REPO WRITE_REPO TOKEN WORK_DIR
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, readdir, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [tools, hubUrl, readRepo, writeRepo, accessToken, work] = process.argv.slice(2)
const base = new URL(hubUrl)
assert.equal(base.hostname, '127.0.0.1', 'only loopback')
const require = createRequire(join(tools, 'package.json'))
const hub = await import(pathToFileURL(require.resolve('@huggingface/hub').replace(/\.js$/, '.mjs')))

const counts = { requests: 0, ranges: 0, files: 0, bytes: 0, uploaded: 0 }
const asked = []
const local = async (url, init) => {
  const u = new URL(url instanceof Request ? url.url : url)
  if (u.origin !== base.origin) throw new Error(`the client asks a foreign origin: ${u.origin}`)
  const headers = new Headers(init?.headers)
  counts.requests++
  if (headers.has('range')) counts.ranges++
  asked.push(`${init?.method ?? 'GET'} ${u.pathname}`)
  return fetch(url, init)
}
const sha256 = b => createHash('sha256').update(b).digest('hex')
const gitBlob = b => createHash('sha1').update(`blob ${b.length}\0`).update(b).digest('hex')
const list = async it => { const out = []; for await (const x of it) out.push(x); return out }
const bytes = async blob => Buffer.from(await blob.arrayBuffer())
const common = repo => ({ repo: { type: 'dataset', name: repo }, hubUrl, fetch: local })

// Reads every file of a dataset and holds it against what the listing says.
async function readAll (repo, params = {}) {
  const c = { ...common(repo), ...params }
  const out = new Map()
  for (const e of await list(hub.listFiles({ ...c, recursive: true, expand: true }))) {
    if (e.type !== 'file') {
      assert.equal(e.type, 'directory')
      continue
    }
    assert.match(e.lastCommit.id, /^[0-9a-f]{40}$/)
    const info = await hub.fileDownloadInfo({ ...c, path: e.path })
    assert.equal(info.size, e.size, e.path)
    assert.equal(info.etag, `"${e.lfs.oid}"`, e.path)
    assert.equal(info.xet, undefined)
    const blob = await hub.downloadFile({ ...c, path: e.path, xet: false })
    assert.equal(blob.size, e.size, e.path)
    const b = await bytes(blob)
    assert.equal(sha256(b), e.lfs.oid, e.path)
    assert.equal(gitBlob(b), e.oid, e.path)
    if (b.length > 10) {
      assert.deepEqual(await bytes(blob.slice(3, 9)), b.subarray(3, 9), e.path)
      assert.deepEqual(await bytes(blob.slice(b.length - 5, b.length)), b.subarray(b.length - 5), e.path)
    }
    assert.equal(await hub.fileExists({ ...c, path: e.path }), true)
    out.set(e.path, b)
    counts.files++
    counts.bytes += b.length
  }
  return out
}

// Reading.
{
  const c = common(readRepo)
  const info = await hub.datasetInfo({ name: readRepo, hubUrl, fetch: local, additionalFields: ['sha', 'cardData', 'tags', 'author'] })
  assert.equal(info.name, readRepo)
  assert.match(info.sha, /^[0-9a-f]{40}$/)
  assert.equal(info.private, false)
  assert.equal(info.gated, false)
  assert.ok(!Number.isNaN(info.updatedAt.getTime()))
  const files = await readAll(readRepo)
  assert.deepEqual([...(await readAll(readRepo, { revision: info.sha })).keys()], [...files.keys()])
  const top = await list(hub.listFiles(c))
  assert.ok(top.some(e => e.type === 'directory' && e.path === 'data'))
  assert.deepEqual((await list(hub.listFiles({ ...c, path: 'data' }))).map(e => e.path), ['data/deep', 'data/train-00.csv', 'data/train-01.csv'])
  const [some, ...rest] = await hub.pathsInfo({ ...c, paths: ['data/train-00.csv', 'missing'], expand: true })
  assert.equal(rest.length, 0)
  assert.equal(some.size, files.get('data/train-00.csv').length)

  assert.equal(await hub.fileExists({ ...c, path: 'missing' }), false)
  assert.equal(await hub.fileDownloadInfo({ ...c, path: 'missing' }), null)
  assert.equal(await hub.downloadFile({ ...c, path: 'missing', xet: false }), null)
  await assert.rejects(hub.fileDownloadInfo({ ...common(readRepo + 'x'), path: 'missing' }), e => e.statusCode === 404)
  await assert.rejects(hub.datasetInfo({ name: 'nobody/nothing', hubUrl, fetch: local }), e => e.statusCode === 404 && /no dataset/.test(e.message))
  await assert.rejects(list(hub.listFiles({ ...c, revision: 'nowhere' })), e => e.statusCode === 404)

  const found = await list(hub.listDatasets({ search: { owner: readRepo.split('/')[0] }, hubUrl, fetch: local, additionalFields: ['tags'] }))
  assert.ok(found.some(d => d.name === readRepo))
  const commits = await list(hub.listCommits({ ...c, batchSize: 1 }))
  assert.equal(commits[0].oid, info.sha)

  const cacheDir = await mkdtemp(join(work, 'cache-'))
  const folder = await hub.snapshotDownload({ ...c, cacheDir })
  assert.ok(folder.endsWith(info.sha))
  const onDisk = await walk(folder)
  assert.deepEqual([...onDisk.keys()].sort(), [...files.keys()].sort())
  for (const [path, b] of files) assert.deepEqual(onDisk.get(path), b, path)
  asked.length = 0
  await hub.snapshotDownload({ ...c, cacheDir })
  assert.ok(!asked.some(a => a.includes('/resolve/')), `a second snapshot fetches again: ${asked}`)
}

async function walk (dir, prefix = '', out = new Map()) {
  for (const name of await readdir(dir)) {
    const path = join(dir, name)
    if ((await stat(path)).isDirectory()) await walk(path, prefix + name + '/', out)
    else out.set(prefix + name, await readFile(path))
  }
  return out
}

// Uploading.
{
  const c = { ...common(writeRepo), accessToken }
  const me = await hub.whoAmI({ accessToken, hubUrl, fetch: local })
  assert.equal(me.name, writeRepo.split('/')[0])
  assert.equal(me.auth.accessToken.role, 'write')
  const made = await hub.createRepo(c)
  assert.equal(made.repoUrl, `${hubUrl}/datasets/${writeRepo}`)

  const big = Buffer.alloc(3_000_000)
  for (let i = 0; i < big.length; i++) big[i] = (i * 7919) >> 5
  const want = new Map([
    ['README.md', Buffer.from('---\nlicense: cc-by-4.0\npretty_name: Toy\n---\n# Toy\n')],
    ['data/train.bin', big],
    ['data/zoë & co.csv', Buffer.from('a,b\n1,2\n')],
    ['data/middle.txt', Buffer.from('m'.repeat(100_000))],
    ['empty.txt', Buffer.alloc(0)]
  ])
  const files = [...want].map(([path, b]) => ({ path, content: new Blob([b]) }))
  const first = await hub.uploadFiles({ ...c, files, commitTitle: 'Add it all', useXet: false })
  assert.match(first.commit.oid, /^[0-9a-f]{40}$/)
  counts.uploaded += files.length
  const got = await readAll(writeRepo)
  assert.deepEqual([...got.keys()].sort(), [...want.keys()].sort())
  for (const [path, b] of want) assert.ok(got.get(path).equals(b), path)

  // With the Xet protocol asked for, the client falls back to LFS.
  const second = await hub.uploadFile({ ...c, file: { path: 'data/again.bin', content: new Blob([big, big]) }, parentCommit: first.commit.oid })
  assert.notEqual(second.commit.oid, first.commit.oid)
  await assert.rejects(hub.uploadFile({ ...c, file: { path: 'x', content: new Blob(['x']) }, parentCommit: first.commit.oid }), e => e.statusCode === 412)
  await hub.deleteFiles({ ...c, paths: ['data/again.bin', 'empty.txt'], commitTitle: 'Less' })
  want.delete('empty.txt')
  assert.deepEqual([...(await readAll(writeRepo)).keys()].sort(), [...want.keys()].sort())
  assert.equal((await readAll(writeRepo, { revision: first.commit.oid })).size, 5)
  const commits = await list(hub.listCommits(common(writeRepo)))
  assert.deepEqual(commits.map(x => x.title), ['Less', 'Add data/again.bin', 'Add it all'])
  await assert.rejects(hub.uploadFile({ ...c, repo: { type: 'dataset', name: 'ben/x' }, file: { path: 'x', content: new Blob(['x']) } }), e => e.statusCode === 403)
}
console.log(JSON.stringify(counts))
