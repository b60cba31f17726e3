package payfile

import (
	"bytes"
	"runtime"
	"sync"

	"github.com/cairn-registry/cairn/manifests/eth"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// MaxProof bounds a Merkle proof: a tree of MaxLines leaves needs 22 hashes,
// and one that an attacker made longer costs no more to refuse.
const MaxProof = 64

// pair hashes an inner node of either tree: the smaller child comes first, so
// that a proof needs no directions.
func pair(k *eth.Hasher, a, b eth.Hash) eth.Hash {
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	return k.Sum(a[:], b[:])
}

// climb returns the root that proof leads to from leaf.
func climb(leaf eth.Hash, proof []eth.Hash) (eth.Hash, error) {
	if len(proof) > MaxProof {
		return eth.Hash{}, fault.New(fault.Unverified, "a proof has at most %d hashes, this one %d", MaxProof, len(proof))
	}
	var k eth.Hasher
	for _, h := range proof {
		leaf = pair(&k, leaf, h)
	}
	return leaf, nil
}

// minChunk is the least work for a goroutine: some milliseconds of hashing.
const minChunk = 4096

// parallel calls do for ranges that together are [0, n), each with a Hasher of
// its own. The result must not depend on how the range is cut.
func parallel(n int, do func(k *eth.Hasher, from, to int)) {
	workers := min(runtime.GOMAXPROCS(0), n/minChunk)
	if workers < 2 {
		do(new(eth.Hasher), 0, n)
		return
	}
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() { do(new(eth.Hasher), n*i/workers, n*(i+1)/workers) })
	}
	wg.Wait()
}
