package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"iter"
	"math/rand/v2"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

const (
	// sampleSize is how many leaves a sample reads. Damage in one leaf of a
	// hundred is seen with a probability of 1 − 0.99^256 = 92 %.
	sampleSize = 256
	// maxFileFindings bounds the files that a report names one by one.
	maxFileFindings = 20
)

// A digest is SHA-256 with a count of its bytes.
type digest struct {
	hash.Hash
	n uint64
}

func newDigest() *digest { return &digest{Hash: sha256.New()} }

func (d *digest) Write(p []byte) (int, error) {
	d.n += uint64(len(p))
	return d.Hash.Write(p)
}

func (d *digest) hex() string { return hex.EncodeToString(d.Sum(nil)) }

func (d *digest) reset() { d.n = 0; d.Reset() }

// A reader hands blocks to a walk. The walk asks for the sizes of a file's
// leaves in the order of their bytes, so where every block is to be read,
// reading each leaf when its size is asked gives the file's digest in the same
// pass.
type reader struct {
	Evidence
	mode Mode

	file   *digest // of the leaves since the last file
	blocks int64
	bytes  int64
	total  int64
	show   func(done, total int64)

	leaves uint64 // that were passed
	sample []leaf
	rand   *rand.Rand
}

type leaf struct {
	cid  cid.Cid
	size uint64
}

func (r *reader) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	b, err := r.Evidence.Block(ctx, c)
	if err == nil {
		r.blocks++
	}
	return b, err
}

func (r *reader) Size(ctx context.Context, c cid.Cid) (uint64, error) {
	if r.mode == All {
		b, err := r.Block(ctx, c)
		if err != nil {
			return 0, err
		}
		r.file.Write(b)
		r.bytes += int64(len(b))
		if r.show != nil {
			r.show(r.bytes, r.total)
		}
		return uint64(len(b)), nil
	}
	n, err := r.Evidence.Size(ctx, c)
	if err == nil && r.mode == Sample {
		// A reservoir: every leaf has the same chance.
		r.leaves++
		if len(r.sample) < sampleSize {
			r.sample = append(r.sample, leaf{c, n})
		} else if i := r.rand.Uint64N(r.leaves); i < sampleSize {
			r.sample[i] = leaf{c, n}
		}
	}
	return n, err
}

// data checks the data of a manifest: the DAG against the file list, and as
// many blocks as were asked for.
func (a *auditor) data(m *manifests.Manifest) {
	r := &reader{
		Evidence: a.ev, mode: a.o.Blocks, file: newDigest(), total: m.Data.Bytes, show: a.o.Progress,
		rand: rand.New(rand.NewPCG(a.o.Seed, a.o.Seed)),
	}
	next, stop := iter.Pull2(m.ListedFiles(a.ctx, a.ev))
	defer stop()
	f := files{a: a, r: r}
	sum, err := unixfs.Check(a.ctx, r, m.Data.Root.Cid, unixfs.Limits{}, func() (unixfs.Listed, bool, error) {
		line, err, ok := next()
		if !ok || err != nil {
			return unixfs.Listed{}, false, err
		}
		return unixfs.Listed{Path: line.Path, CID: line.CID.Cid, Size: uint64(line.Size)}, true, f.check(line)
	})
	if err == nil && (sum.Files != m.Data.FileCount || sum.Bytes != m.Data.Bytes) {
		err = fault.New(fault.Unverified, "there are %d files of %d bytes, the manifest claims %d of %d", sum.Files, sum.Bytes, m.Data.FileCount, m.Data.Bytes)
	}
	root := m.Data.Root.String()
	if !a.judge(CheckStructure, root, err, fmt.Sprintf("%d files, %d bytes, as the manifest lists them", sum.Files, sum.Bytes)) {
		return
	}
	switch a.o.Blocks {
	case All:
		a.judge(CheckBlocks, root, nil, fmt.Sprintf("all %d blocks read and hashed", r.blocks))
	case Sample:
		a.sample(root, r)
	case None:
		a.skip(CheckBlocks, root, "blocks of file data were not asked for")
	}
	f.report()
}

func (a *auditor) sample(root string, r *reader) {
	for _, l := range r.sample {
		b, err := a.ev.Block(a.ctx, l.cid)
		if err == nil && uint64(len(b)) != l.size {
			err = fault.New(fault.Unverified, "the block has %d bytes, its parent says %d", len(b), l.size)
		}
		if err != nil {
			a.judge(CheckBlocks, l.cid.String(), err, "")
			return
		}
	}
	a.judge(CheckBlocks, root, nil, fmt.Sprintf("all structure, and %d of %d leaves, drawn with seed %d, read and hashed", len(r.sample), r.leaves, a.o.Seed))
}

// files compares the SHA-256 of whole files.
type files struct {
	a *auditor
	r *reader

	checked, unchecked, wrong int64
	findings                  []proof.Finding
}

// check is called for each line of the file list, once the walk has passed the
// file's leaves.
func (f *files) check(line manifests.File) error {
	defer f.r.file.reset()
	have := ""
	switch {
	case line.CID.Prefix().Codec == cid.Raw:
		// The file is its one leaf, whose hash stands in the CID.
		h := line.CID.Hash()
		have = hex.EncodeToString(h[len(h)-sha256.Size:])
	case f.r.mode != All:
		f.unchecked++
		return nil
	case f.r.file.n == uint64(line.Size):
		have = f.r.file.hex()
	default:
		// Leaves inside nodes, or nodes that the walk had passed before: read it.
		f.r.file.reset()
		err := unixfs.ReadFile(f.a.ctx, f.r.Evidence, line.CID.Cid, func(p []byte) error { f.r.file.Write(p); return nil })
		if err != nil {
			return err
		}
		have = f.r.file.hex()
	}
	f.checked++
	if have != line.SHA256 {
		if f.wrong++; f.wrong <= maxFileFindings {
			f.findings = append(f.findings, proof.Finding{
				Check: CheckFiles, Status: proof.Fails, Subject: line.Path,
				Detail: fmt.Sprintf("its SHA-256 is %s, the manifest says %s", have, line.SHA256),
			})
		}
	}
	return nil
}

func (f *files) report() {
	f.a.r.Findings = append(f.a.r.Findings, f.findings...)
	if f.wrong > 0 {
		f.a.judge(CheckFiles, "", fault.New(fault.Unverified, "the SHA-256 of %d of %d files is not what the manifest says", f.wrong, f.checked), "")
		return
	}
	if f.unchecked > 0 {
		f.a.skip(CheckFiles, "", fmt.Sprintf("%d files of several blocks: their SHA-256 is the contributor's claim, which reading all blocks would check", f.unchecked))
	}
	if f.checked > 0 || f.unchecked == 0 {
		f.a.judge(CheckFiles, "", nil, fmt.Sprintf("SHA-256 of %d files", f.checked))
	}
}
