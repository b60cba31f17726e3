// Package config finds the home folder and reads its config.yaml. Every key
// has a default that is good for one machine; a missing file is not an error.
//
// The struct [Config] is the one source of what a key is: its tags hold the
// default, the limits and the sentence that documents it. The template that
// "cairn init" writes, "cairn serve --print-config", the environment variables
// and the texts of errors are made from it. A new section is one more struct.
//
// A value comes from the first of these that has one: a flag, the environment,
// config.yaml, the default.
package config

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// FileName is the configuration's name in the home folder.
const FileName = "config.yaml"

// maxFile bounds config.yaml: the file is a page of settings, not data.
const maxFile = 64 << 10

// Config is what config.yaml may say. The tags of a field:
//
//	yaml     its key
//	doc      what it is for, a sentence; every field has one
//	default  its default; absent: the zero value
//	unit     what a number counts
//	min, max the least and the greatest value
//	oneof    the words it may be, separated by |
type Config struct {
	Key                string   `yaml:"key" default:"default" doc:"name of the key in keys/ that signs"`
	CheckpointInterval Duration `yaml:"checkpointInterval" default:"100ms" min:"100ms" max:"1h" doc:"how often the log publishes while entries come in; the log's engine goes no lower than 100ms"`
	Verify             string   `yaml:"verify" default:"always" oneof:"always|once" doc:"always: hash every block on every read; once: on its first read since its pack was opened"`

	Listen         List      `yaml:"listen" default:"127.0.0.1:0" doc:"addresses that \"cairn serve\" listens on for everybody: host:port, or unix:PATH; port 0 picks a free one"`
	TrustedProxies List      `yaml:"trustedProxies" doc:"addresses or networks of reverse proxies whose X-Forwarded-For and X-Request-Id are believed; \"unix\" stands for unix sockets"`
	Admin          Admin     `yaml:"admin" doc:"metrics, health and profiles for operators"`
	TLS            TLS       `yaml:"tls" doc:"HTTPS on every TCP address of listen; without it cairn speaks plain HTTP, for a reverse proxy or this machine"`
	Gateway        Gateway   `yaml:"gateway" doc:"how data is served"`
	TermsPolicy    string    `yaml:"termsPolicy" default:"warn" oneof:"warn|refuse|off" doc:"what becomes of a version whose terms contradict those of its sources: it is recorded with a warning, or refused, or nothing is compared"`
	Write          Write     `yaml:"write" doc:"who may write over the addresses of listen"`
	Uploads        Uploads   `yaml:"uploads" doc:"what one key, or one token without a key, may hold"`
	Hub            Hub       `yaml:"hub" doc:"uploads by clients of the Hugging Face Hub: taken when a token of write.tokens names a custodial key"`
	P2P            P2P       `yaml:"p2p" doc:"the IPFS peer network: blocks by bitswap, over TCP; off unless enabled"`
	Limits         Limits    `yaml:"limits" doc:"what strangers are held to; 0 is no limit where nothing else is said"`
	CORS           CORS      `yaml:"cors" doc:"what pages of other web sites may do"`
	AccessLog      AccessLog `yaml:"accessLog" doc:"a line per request: no query, no header, no token; the client's network, not its address"`
	Shutdown       Shutdown  `yaml:"shutdown" doc:"how the server ends after SIGTERM or an interrupt; a second signal ends it at once"`
}

// Admin is the listener for operators.
type Admin struct {
	Listen List `yaml:"listen" doc:"addresses for /metrics, /livez, /readyz and /debug/pprof; none: only the home's own socket has /metrics"`
	Public bool `yaml:"public" doc:"allow admin.listen beyond this machine; there is no authentication"`
	Pprof  bool `yaml:"pprof" doc:"serve /debug/pprof, which shows the inside of the process"`
}

// TLS is how the public listeners speak TLS: by files, or by ACME.
type TLS struct {
	CertFile string `yaml:"certFile" doc:"certificate chain in PEM; read again when it changes"`
	KeyFile  string `yaml:"keyFile" doc:"its private key in PEM, readable by its owner only"`
	ACME     ACME   `yaml:"acme" doc:"certificates from an ACME authority such as Let's Encrypt, by the TLS-ALPN challenge: the listener must be reachable as port 443"`
}

// ACME asks an authority for certificates.
type ACME struct {
	Domains   List   `yaml:"domains" doc:"names to get certificates for; none: no ACME. Naming them accepts the authority's terms"`
	Email     string `yaml:"email" doc:"where the authority writes when something is wrong"`
	Directory string `yaml:"directory" doc:"URL of the authority's directory; empty: Let's Encrypt"`
	Cache     string `yaml:"cache" default:"acme" doc:"folder for account and certificates; relative to the home"`
}

// Gateway is how data is served.
type Gateway struct {
	Hosts    List   `yaml:"hosts" doc:"DNS names under which each root has an origin of its own, CID.ipfs.HOST; beyond this machine, files and pages are served there and nowhere else"`
	Denylist string `yaml:"denylist" doc:"file with content that is not served, in the Compact Denylist Format; read again when it changes; relative to the home"`
	Key      string `yaml:"key" default:"gateway" doc:"name of the key of this home that signs fetch records, the receipts of downloads; registry/v1 must list it; without such a key none are given"`
}

// Write is who may write: auth.Policy.
type Write struct {
	Mode   string  `yaml:"mode" default:"off" oneof:"off|open|allowlist|token" doc:"off: nobody; open: any key that signs its requests; allowlist: the keys of allow; token: holders of a token"`
	Allow  List    `yaml:"allow" doc:"the did:keys of the mode allowlist"`
	URLs   List    `yaml:"urls" doc:"base URLs under which this server is reached, when not by its address: signed requests must be for one of them"`
	Tokens []Token `yaml:"tokens" doc:"bearer tokens, good in every mode, for reading also when it is off; here stand their hashes, the tokens themselves nowhere"`
}

// Token is a bearer token: auth.Token.
type Token struct {
	Name      string `yaml:"name" doc:"for people, logs and quotas; unique"`
	SHA256    string `yaml:"sha256" doc:"hash of the token, 64 hex digits"`
	Role      string `yaml:"role" doc:"contributor (the default), auditor or operator"`
	Key       string `yaml:"key" doc:"the did:key whose statements the holder may send; empty: any"`
	Expires   string `yaml:"expires" doc:"until when it is good, RFC 3339; empty: for ever"`
	Custodial string `yaml:"custodial" doc:"name of a key in keys/ that signs for the holder: whoever operates this home could sign in its name, too"`
}

// Uploads are upload.Quota and upload.Limits.
type Uploads struct {
	StoredBytes    Bytes    `yaml:"storedBytes" default:"1TiB" min:"1" doc:"of files, over all accepted versions"`
	StagedBytes    Bytes    `yaml:"stagedBytes" default:"256GiB" min:"1" doc:"declared by open uploads"`
	StagedBlocks   int64    `yaml:"stagedBlocks" default:"8388608" min:"1" max:"1000000000000" unit:"blocks" doc:"declared by open uploads"`
	Sessions       int      `yaml:"sessions" default:"8" min:"1" max:"1000000" unit:"open uploads" doc:"of one key, at once"`
	Statements     int      `yaml:"statements" default:"1000" min:"1" max:"1000000000" unit:"statements in 24 hours" doc:"logged, uploads that were opened included"`
	AllSessions    int      `yaml:"allSessions" default:"1024" min:"1" max:"1000000" unit:"open uploads" doc:"of everybody together"`
	AllStagedBytes Bytes    `yaml:"allStagedBytes" default:"4TiB" min:"1" doc:"declared by everybody's open uploads together"`
	Lease          Duration `yaml:"lease" default:"24h" min:"1m" max:"8760h" doc:"how long an upload is kept without a request of its owner"`
	Shards         int      `yaml:"shards" default:"32" min:"1" max:"4096" unit:"shards" doc:"that come in at once, each in less than 4 MiB of memory"`
}

// Hub is hub.Limits.
type Hub struct {
	StagedBytes Bytes    `yaml:"stagedBytes" default:"64GiB" min:"1" doc:"that one token may have sent and not committed"`
	StagedFiles int      `yaml:"stagedFiles" default:"20000" min:"1" max:"1000000" unit:"files" doc:"that one token may have sent and not committed"`
	CommitFiles int      `yaml:"commitFiles" default:"10000" min:"1" max:"1000000" unit:"changes" doc:"of one commit"`
	CommitBytes Bytes    `yaml:"commitBytes" default:"64GiB" min:"1" doc:"of the files that one commit adds"`
	Keep        Duration `yaml:"keep" default:"24h" min:"1m" max:"8760h" doc:"how long a file that was sent waits for its commit"`
}

// P2P is node.Options.
type P2P struct {
	Enabled   bool `yaml:"enabled" doc:"serve the blocks of this home to IPFS peers"`
	Listen    List `yaml:"listen" default:"/ip4/0.0.0.0/tcp/4001" doc:"multiaddresses to listen on for peers"`
	Announce  List `yaml:"announce" doc:"multiaddresses to tell others instead, when this machine is reached by others"`
	Peers     List `yaml:"peers" doc:"multiaddresses, ending in /p2p/ID, of peers to stay connected to"`
	Bootstrap List `yaml:"bootstrap" doc:"peers of a DHT to join, to announce the roots of datasets there; none: no DHT"`
}

// Limits are those of gateway.Limits and gateway.ServerOptions.
type Limits struct {
	Connections        int      `yaml:"connections" default:"4096" min:"1" max:"1000000" unit:"connections" doc:"open at once on each listener; never more than half of the process's descriptors"`
	Requests           int      `yaml:"requests" default:"512" min:"0" max:"1000000" unit:"requests" doc:"answered at once; more get 503"`
	RequestsPerAddress int      `yaml:"requestsPerAddress" default:"128" min:"0" max:"1000000" unit:"requests" doc:"of one address answered at once; more get 429"`
	RatePerAddress     float64  `yaml:"ratePerAddress" default:"500" min:"0" max:"1000000" unit:"requests per second" doc:"of one address, or one /64 with IPv6; more get 429"`
	BurstPerAddress    int      `yaml:"burstPerAddress" default:"2000" min:"1" max:"1000000" unit:"requests" doc:"that may come at once before ratePerAddress is asked"`
	RatePerKey         float64  `yaml:"ratePerKey" default:"500" min:"0" max:"1000000" unit:"requests per second" doc:"signed by one key; more get 429"`
	BurstPerKey        int      `yaml:"burstPerKey" default:"2000" min:"1" max:"1000000" unit:"requests" doc:"that may come at once before ratePerKey is asked"`
	BytesPerAddress    Bytes    `yaml:"bytesPerAddress" default:"0" unit:"bytes per second" doc:"that one address may move, both directions together; what is faster waits"`
	Exempt             List     `yaml:"exempt" default:"127.0.0.0/8,::1/128" doc:"networks without limits per address, unless a proxy passes others' requests on from there"`
	Clients            int      `yaml:"clients" default:"32768" min:"16" max:"16000000" unit:"addresses and keys" doc:"that are remembered, some 300 bytes each; who is forgotten begins anew"`
	Body               Bytes    `yaml:"body" default:"128MiB" min:"1MiB" max:"1TiB" doc:"longest body of a request; more gets 413"`
	Header             Bytes    `yaml:"header" default:"16KiB" min:"4KiB" max:"1MiB" doc:"longest header of a request; more gets 431"`
	URL                Bytes    `yaml:"url" default:"8KiB" min:"1KiB" max:"1MiB" doc:"longest target of a request; more gets 414"`
	MinRate            Bytes    `yaml:"minRate" default:"8KiB" max:"1GiB" unit:"bytes per second" doc:"slowest transfer that is waited for, after grace; slower ones are cut off. 0 waits for ever"`
	Grace              Duration `yaml:"grace" default:"10s" min:"100ms" max:"1h" doc:"how long a transfer may stand still"`
}

// CORS is what pages of other origins may do.
type CORS struct {
	Origins        List `yaml:"origins" default:"*" doc:"origins whose pages may read answers of /v1 and the log; * is any. Data under /ipfs is for all"`
	TrustedOrigins List `yaml:"trustedOrigins" doc:"origins whose pages may also write: https://host[:port]"`
}

// AccessLog is where requests are logged.
type AccessLog struct {
	Format string `yaml:"format" default:"text" oneof:"text|json|off" doc:"how a line looks"`
	File   string `yaml:"file" doc:"file to append to; empty: standard error. Rotate it by copying and truncating"`
}

// Shutdown is the end.
type Shutdown struct {
	Delay Duration `yaml:"delay" default:"0s" max:"10m" doc:"how long to go on accepting while /readyz already answers 503, for balancers to notice"`
	Drain Duration `yaml:"drain" default:"20s" min:"0s" max:"1h" doc:"how long running requests may take to end"`
}

// Home returns the home folder: flag, else $CAIRN_HOME, else ~/.cairn.
func Home(flag string, getenv func(string) string) (string, error) {
	dir := flag
	if dir == "" {
		dir = getenv("CAIRN_HOME")
	}
	if dir == "" {
		user := getenv("HOME")
		if user == "" {
			return "", fault.WithHint(fault.New(fault.Invalid, "no home folder: neither CAIRN_HOME nor HOME is set"),
				"set CAIRN_HOME to a folder that cairn may own")
		}
		dir = filepath.Join(user, ".cairn")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fault.Mark(fault.Internal, err)
	}
	return abs, nil
}

// A Setting is one key with its value as text, as a flag has it.
type Setting struct{ Key, Value string }

// Load reads config.yaml in the given home, then the environment, then flags.
// Unknown keys and bad values are refused with fault.Invalid, all of them at
// once, with the line, the variable or the flag they come from.
func Load(home string, getenv func(string) string, flags ...Setting) (Config, error) {
	cfg := Default()
	name := filepath.Join(home, FileName)
	b, err := readFile(name)
	if err != nil {
		return cfg, err
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&cfg); err != nil && !errors.Is(err, io.EOF) {
		return cfg, fault.WithHint(fault.New(fault.Invalid, "%s: %w", name, err), `"cairn serve --print-config" lists every key`)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return cfg, fault.New(fault.Invalid, "%s: more than one document", name)
	}
	// Where a value came from, for the text of an error.
	from := make(map[string]string)
	var errs []error
	for _, k := range keys(&cfg) {
		if k.section || k.list {
			continue
		}
		if text := getenv(k.Env()); text != "" {
			from[k.Path] = k.Env()
			errs = append(errs, k.set(text, k.Env()))
		}
	}
	for _, f := range flags {
		k, ok := find(keys(&cfg), f.Key)
		if !ok {
			errs = append(errs, fault.WithHint(fault.New(fault.Invalid, "there is no key %s", fault.Quote(f.Key)), `"cairn serve --print-config" lists every key`))
			continue
		}
		from[k.Path] = "flag for " + k.Path
		errs = append(errs, k.set(f.Value, "flag for "+k.Path))
	}
	for _, k := range keys(&cfg) {
		if k.list && k.value.Len() == 0 && k.value.CanSet() {
			k.value.SetZero() // an empty list is none
		}
		where := from[k.Path]
		if where == "" {
			where = name + ": " + k.Path
		}
		errs = append(errs, k.check(where))
	}
	errs = append(errs, cfg.together())
	return cfg, errors.Join(errs...)
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	if len(b) > maxFile {
		return nil, fault.New(fault.TooLarge, "%s is larger than %d bytes", name, maxFile)
	}
	return b, nil
}

// together checks what no key alone can break.
func (c *Config) together() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fault.New(fault.Invalid, format, args...)) }
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		bad("tls.certFile and tls.keyFile come together")
	}
	if c.TLS.CertFile != "" && len(c.TLS.ACME.Domains) > 0 {
		bad("tls takes certificates from files or by ACME, not both")
	}
	if len(c.Listen) == 0 {
		bad("listen names no address")
	}
	return errors.Join(errs...)
}
