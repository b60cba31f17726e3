package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	block "github.com/ipfs/go-block-format"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/sumdb/note"

	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/translog"
)

// smuggle [-n] FILE takes the allocation in an envelope file, makes it wrong,
// signs it with the key "default", writes it to FILE.wrong, and logs it around the
// door, as an operator could who changes the program; with -n it is not logged.
func cmdSmuggle(ts *testscript.TestScript, neg bool, args []string) {
	dry := len(args) > 0 && args[0] == "-n"
	if dry {
		args = args[1:]
	}
	if neg || len(args) != 1 {
		ts.Fatalf("usage: smuggle [-n] envelope")
	}
	home := ts.Getenv("CAIRN_HOME")
	payload, err := sign.Peek([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	s, err := manifests.Decode(payload)
	ts.Check(err)
	a, ok := s.Predicate.(*manifests.Allocation)
	if !ok {
		ts.Fatalf("%s holds a %s", args[0], s.Kind)
	}
	a.InFine += "1"
	payload, err = manifests.Encode(manifests.New(a))
	ts.Check(err)
	signer, err := keyring.Open(home).Load("default", nil)
	ts.Check(err)
	e, err := sign.Seal(payload, signer)
	ts.Check(err)
	envelope, err := e.Encode()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".wrong"), envelope, 0o666))
	if dry {
		return
	}
	l, err := proof.NewLeaf(e, envelope)
	ts.Check(err)
	leaf, err := l.Encode()
	ts.Check(err)

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	store, err := pack.Open(filepath.Join(home, "blocks"), pack.Options{})
	ts.Check(err)
	body, err := block.NewBlockWithCid(envelope, l.Env.Cid)
	ts.Check(err)
	statement, err := block.NewBlockWithCid(payload, cjson.RawCID(payload))
	ts.Check(err)
	ts.Check(store.PutRecords(ctx, body, statement))
	ts.Check(store.Close())

	key, err := os.ReadFile(filepath.Join(home, "keys", "log.note"))
	ts.Check(err)
	ns, err := note.NewSigner(strings.TrimSpace(string(key)))
	ts.Check(err)
	vkey, err := os.ReadFile(filepath.Join(home, "trust", "log.vkey"))
	ts.Check(err)
	log, err := translog.Open(ctx, translog.Config{
		Dir: filepath.Join(home, "log"), TrustDir: filepath.Join(home, "trust"), VKey: strings.TrimSpace(string(vkey)), Signer: ns,
	})
	ts.Check(err)
	i, err := log.Append(ctx, leaf)
	ts.Check(err)
	_, err = log.Wait(ctx, i+1)
	ts.Check(err)
	ts.Check(log.Close(ctx))
}
