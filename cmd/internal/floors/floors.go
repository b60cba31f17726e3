// Package floors holds the rules of the house as a table: which package may
// import which, and why. Its test reads every import in the module and every
// dependency of the two commands, and fails on the first rule that is broken.
package floors

// Module is the path of this module.
const Module = "github.com/cairn-registry/cairn"

// A Rule forbids imports. From and To are import paths without the module
// prefix where they are cairn's own; a trailing "/..." takes everything below
// too. To names what From must not import; Except lists what it may after all.
type Rule struct {
	From   string
	To     []string
	Except []string
	Why    string
}

// Rules are checked against direct imports, tests left out.
var Rules = []Rule{
	{
		From: "manifests/...",
		To:   []string{"ingest/...", "registry/...", "cmd/..."},
		Why:  "floor 1 says what things are; it knows nobody above it",
	},
	{
		From:   "manifests/...",
		To:     []string{"os", "net", "net/http", "os/exec", "path/filepath", "io/fs", "log", "log/slog", "github.com/ipfs/boxo/...", "github.com/dgraph-io/badger/..."},
		Except: []string{"manifests/toolstest"},
		Why:    "floor 1 is pure, so that whoever distrusts us can run it: no files, no network, no logging, no database; toolstest is for tests alone, of every floor",
	},
	{
		From: "ingest/...",
		To:   []string{"registry/...", "cmd/..."},
		Why:  "ingest and registry stand side by side and do not know each other",
	},
	{
		From:   "registry/...",
		To:     []string{"ingest/...", "cmd/..."},
		Except: []string{"registry/api", "registry/gateway", "registry/auth", "registry/access", "registry/upload", "registry/hub", "registry/metadata", "registry/registrytest", "ingest/durable"},
		Why:    "only the HTTP half-floor joins blocks and log, and registrytest for its tests; ingest/durable is no block, it lies below both (see its own rule)",
	},
	{
		From: "registry",
		To:   []string{"registry/api", "registry/hub", "registry/gateway", "registry/auth", "registry/access", "registry/fetches", "registry/upload", "registry/overlap", "registry/client", "registry/audit", "registry/wire"},
		Why:  "nothing below the HTTP half-floor imports it",
	},
	{From: "registry/auth", To: []string{"registry/access", "registry/upload", "registry/gateway", "registry/hub", "registry/index", "ingest/..."}, Why: "who calls is known before what they want"},
	{From: "registry/access", To: []string{"registry/upload", "registry/gateway", "registry/hub", "registry/client"}, Why: "what a caller may read is known before anything is read"},
	{From: "registry/fetches", To: []string{"registry/upload", "registry/gateway", "registry/hub", "registry/client", "ingest/..."}, Except: []string{"ingest/durable"}, Why: "what is sent is counted below what sends it; trees are read through an interface"},
	{From: "registry/upload", To: []string{"registry/gateway", "registry/hub", "registry/client"}, Why: "the parts of the half-floor are joined above them"},
	{From: "registry/overlap", To: []string{"registry/gateway", "registry/client", "registry/audit", "registry/ledger", "registry/translog"}, Why: "a side index: it reads what the registry has applied, and nothing is decided by it"},
	{From: "ingest/durable", To: []string{"manifests", "ingest/...", "golang.org/x/...", "github.com/ipfs/..."}, Why: "the ground under ingest and registry: files, fsync and fault's codes. Floor 1 may not touch files and the house has four rooms, so it lies in ingest, whose packs are the first of what must be durable; whoever writes files may import it because it knows nothing"},
	{From: "ingest/records", To: []string{"ingest/...", "github.com/ipfs/boxo/...", "github.com/parquet-go/..."}, Why: "an auditor reads records again, and links no store; foreign Parquet is read by code of our own, whose memory is bounded"},
	{From: "registry/fold", To: []string{"registry/index", "registry/translog", "registry"}, Why: "the state machine reads a View, not a database"},
	{From: "registry/index", To: []string{"registry/translog", "registry"}, Why: "the index is filled by the follower, it does not follow"},
	{From: "registry/ledger", To: []string{"registry/index", "registry/translog", "registry"}, Why: "an auditor fills it from a replay, with no database"},
	{From: "manifests/credit", To: []string{"manifests", "manifests/sign", "manifests/proof", "manifests/terms"}, Why: "the engine knows effects and integers, no statement: it stays small enough to be written again"},
	{From: "registry/translog", To: []string{"registry/index", "registry/fold", "registry"}, Why: "the log knows leaves, not what they mean"},
	{
		From:   "registry/audit",
		To:     []string{"registry/..."},
		Except: []string{"registry/audit"},
		Why:    "an auditor trusts nothing the registry's code says; the client hands in evidence through an interface",
	},
	{From: "registry/wire", To: []string{"registry", "registry/index", "registry/fold", "registry/translog", "registry/api"}, Why: "bodies on the wire are read by clients that link no database"},
	{From: "registry/client", To: []string{"registry", "registry/index", "registry/fold", "registry/translog", "registry/api", "registry/auth", "registry/access", "registry/fetches", "registry/upload", "registry/gateway", "registry/metadata"}, Why: "the client links no database"},
	{From: "cmd/cairn", To: []string{"manifests/...", "ingest/...", "registry/..."}, Why: "main only calls cli.Main"},
}

// OnlyImporter names packages outside the module that one place alone may
// import, so that they can be replaced there.
var OnlyImporter = []struct {
	Package string
	By      []string
	Why     string
}{
	{"github.com/dgraph-io/badger/...", []string{"registry/index", "ingest/blocks/pack"}, "two indexes, each behind its own package"},
	{"github.com/transparency-dev/tessera/...", []string{"registry/translog"}, "the log's engine"},
	{"github.com/spf13/cobra", []string{"cmd/internal/cli"}, "the command line's library"},
	{"github.com/vbauerster/mpb/...", []string{"cmd/internal/term"}, "progress bars"},
	{"github.com/github/go-spdx/...", []string{"manifests/terms"}, "the licence list"},
	{"github.com/decred/dcrd/...", []string{"manifests/eth"}, "the curve of wallets"},
	{"filippo.io/age/...", []string{"cmd/internal/keyring"}, "passphrases on keys"},
	{"github.com/ipfs/boxo/gateway", []string{"registry/gateway"}, "boxo is frozen upstream: each part of it stands behind one package"},
	{"github.com/libp2p/...", []string{"ingest/node"}, "the peer network is an extra road, and its library large"},
	{"github.com/ipfs/boxo/bitswap/...", []string{"ingest/node"}, "the peer network is an extra road"},
	{"github.com/ipfs/boxo/routing/...", []string{"ingest/node"}, "the peer network is an extra road"},
	{"github.com/caddyserver/certmagic", []string{"cmd/internal/tlscert"}, "certificates by ACME, with what that drags along"},
	{"go.uber.org/zap", []string{"cmd/internal/tlscert"}, "certmagic's way of logging; ours is log/slog"},
	{"golang.org/x/time/rate", []string{"registry/gateway"}, "strangers are counted in one place"},
	{"go.yaml.in/yaml/...", []string{"manifests", "cmd/internal/config", "registry/hub"}, "YAML is how people write, the cards of dataset hubs too, never how cairn stores"},
}

// Unlinked names what a command must not link, directly or through others.
var Unlinked = []struct {
	Command  string
	Packages []string
	Why      string
}{
	{
		"cmd/cairn-audit",
		[]string{"github.com/dgraph-io/badger/...", "github.com/ipfs/boxo/...", "github.com/libp2p/go-libp2p/...", "github.com/transparency-dev/tessera/...", "github.com/aws/..."},
		"an auditor must not have to build a database and a peer network to check a receipt",
	},
	{
		"cmd/cairn",
		[]string{"github.com/parquet-go/..."},
		"a few foreign bytes make it take any amount of memory; it is the judge in the tests of ingest/records",
	},
	{
		"cmd/cairn",
		[]string{Module + "/manifests/toolstest", Module + "/registry/registrytest"},
		"helpers of tests, which no command needs",
	},
}
