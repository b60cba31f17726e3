// Reads ten rows of one column of a Parquet file by ranges.
//
//   node hyparquet.mjs URL
import assert from 'node:assert/strict'
import { asyncBufferFromUrl, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'

const [url] = process.argv.slice(2)
assert.match(new URL(url).hostname, /^(127\.0\.0\.1|.*localhost)$/, 'only loopback')
let bytes = 0
let ranges = 0
const counted = async (u, init) => {
  const resp = await fetch(u, init)
  if (new Headers(init?.headers).has('range')) {
    assert.equal(resp.status, 206, 'a range must be answered as one')
    ranges++
    bytes += Number(resp.headers.get('content-length'))
  }
  return resp
}
const file = await asyncBufferFromUrl({ url, fetch: counted })
const metadata = await parquetMetadataAsync(file, { initialFetchSize: 4096 })
assert.equal(Number(metadata.num_rows), 2000)
const rows = await parquetReadObjects({ file, metadata, columns: ['label'], rowStart: 1500, rowEnd: 1510 })
assert.deepEqual(rows.map(r => r.label), Array.from({ length: 10 }, (_, i) => `row-${1500 + i}`))
assert.ok(bytes < file.byteLength / 2, `${bytes} of ${file.byteLength} bytes were read`)
console.log(`10 rows by ${ranges} ranges, ${bytes} of ${file.byteLength} bytes`)
