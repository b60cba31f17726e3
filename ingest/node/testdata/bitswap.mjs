// Fetches a file by bitswap from the peer at the multiaddress argv[2] and prints
// its SHA-256. argv[3] is the file's CID. Contacts no other host.
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const require = createRequire(process.env.CAIRN_TOOLS + '/')
const load = name => import(pathToFileURL(require.resolve(name)).href)
const { createHeliaLight } = await load('helia')
const { withLibp2pLight } = await load('@helia/libp2p')
const { withBitswap } = await load('@helia/bitswap')
const { unixfs } = await load('@helia/unixfs')
const { tcp } = await load('@libp2p/tcp')
const { noise } = await load('@libp2p/noise')
const { yamux } = await load('@libp2p/yamux')
const { identify } = await load('@libp2p/identify')
const { multiaddr } = await load('@multiformats/multiaddr')
const { CID } = await load('multiformats/cid')

const [, , peer, root] = process.argv
const helia = await withBitswap(withLibp2pLight(createHeliaLight({}), {
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify() },
  peerDiscovery: [],
  connectionGater: { denyDialMultiaddr: m => !/^\/ip4\/127\./.test(m.toString()) }
})).start()
const connection = await helia.libp2p.dial(multiaddr(peer))
for (let i = 0; i < 100; i++) {
  const known = await helia.libp2p.peerStore.get(connection.remotePeer)
  if (known.protocols.some(p => p.startsWith('/ipfs/bitswap/'))) break
  await new Promise(resolve => setTimeout(resolve, 100))
}
const hash = createHash('sha256')
let bytes = 0
for await (const chunk of unixfs(helia).cat(CID.parse(root), { signal: AbortSignal.timeout(60000) })) {
  hash.update(chunk)
  bytes += chunk.length
}
console.log(`${hash.digest('hex')} ${bytes}`)
await helia.stop()
process.exit(0)
