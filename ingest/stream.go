package ingest

import (
	"context"
	"io"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// maxPieces bounds what lies between the reader of a DAG and the writer of a
// stream: pieces, of which only blocks are large, and those have room of their own.
const maxPieces = 1024

// Cat writes the bytes of a file to w, in order. Blocks are fetched ahead, as many
// as [Get] would; a block is verified before its bytes are written. Bytes that were
// written before an error are those of the file. Codes are those of [Get].
func Cat(ctx context.Context, src unixfs.Blocks, file cid.Cid, w io.Writer) error {
	return stream(ctx, src, file, func(s *streamer) error {
		return s.file(unixfs.Entry{Kind: unixfs.File, CID: file})
	}, func(p piece) error {
		_, err := w.Write(p.data)
		return err
	})
}

// A piece is a part of a stream: bytes, or something that begins or ends.
type piece struct {
	entry *streamEntry // not nil: an entry begins
	data  []byte
	last  bool // the entry's bytes are complete
}

// A streamEntry is a path of a tree on its way into a stream.
type streamEntry struct {
	unixfs.Entry
	// open is true for a file whose size nobody claims: it is the length of its
	// only block.
	open bool
}

// A promise is a piece whose block is on its way.
type promise struct {
	piece
	leaf  *unixfs.Leaf
	rest  *unixfs.Leaf // from here on the file is read in one go
	taken int64        // of the room
	done  chan struct{}
	err   error
}

// A streamer reads a DAG in canonical order, and keeps blocks coming.
type streamer struct {
	ctx  context.Context
	src  unixfs.Blocks
	room *room
	out  chan *promise
}

// stream runs read, which hands in pieces, beside emit, which gets them in order.
// When it returns, everything that it started has ended.
func stream(ctx context.Context, src unixfs.Blocks, root cid.Cid, read func(*streamer) error, emit func(piece) error) error {
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	s := &streamer{ctx: ctx, src: src, room: roomFor(src), out: make(chan *promise, maxPieces)}
	defer follow(ctx, src, root)()
	readErr := make(chan error, 1)
	go func() {
		defer close(s.out)
		readErr <- read(s)
	}()
	var err error
	for p := range s.out {
		if err == nil {
			if err = s.emit(p, emit); err != nil {
				cancel()
			}
		}
		if p.done != nil {
			<-p.done
		}
		if p.taken > 0 {
			s.room.give(p.taken)
		}
	}
	cancel()
	if e := <-readErr; err == nil {
		err = e
	}
	if err != nil && outer.Err() != nil {
		return context.Cause(outer)
	}
	return err
}

func (s *streamer) emit(p *promise, emit func(piece) error) error {
	switch {
	case p.leaf != nil:
		<-p.done
		if p.err == nil && p.data == nil {
			// Longer than the room that was taken for it: as the next in line it
			// is read after all.
			p.data, p.err = s.leaf(*p.leaf)
		}
		if p.err != nil {
			return p.err
		}
	case p.rest != nil:
		return unixfs.ReadRange(s.ctx, s.src, p.rest.CID, p.rest.Off, 1<<63, func(b []byte) error {
			return emit(piece{data: b})
		})
	}
	return emit(p.piece)
}

func (s *streamer) leaf(l unixfs.Leaf) ([]byte, error) {
	b, err := s.src.Block(s.ctx, l.CID)
	if err != nil {
		return nil, err
	}
	data, err := unixfs.Data(l.CID, b)
	if err == nil && l.Known && uint64(len(data)) != l.Size {
		err = fault.New(fault.Invalid, "block %s: its parent claims %d bytes, there are %d", l.CID, l.Size, len(data))
	}
	if data == nil {
		data = []byte{}
	}
	return data, err
}

func (s *streamer) send(p *promise) error {
	select {
	case s.out <- p:
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// file hands in the bytes of a file. e.Size is what its directory claims.
func (s *streamer) file(e unixfs.Entry) error {
	var end uint64
	ok, err := unixfs.Plan(s.ctx, s.src, e.CID, func(l unixfs.Leaf) error {
		guess := l.Size
		if !l.Known {
			guess = e.Size
		}
		n, err := s.room.take(s.ctx, guess)
		if err != nil {
			return err
		}
		p := &promise{leaf: &l, taken: n, done: make(chan struct{})}
		go func() {
			defer close(p.done)
			data, err := s.leaf(l)
			if p.err = err; int64(len(data)) <= n {
				p.data = data
			}
		}()
		end = l.Off + l.Size
		if err := s.send(p); err != nil {
			<-p.done
			s.room.give(n)
			return err
		}
		return nil
	})
	if err == nil && !ok {
		// Bytes in inner nodes: an old shape of file.
		err = s.send(&promise{rest: &unixfs.Leaf{CID: e.CID, Off: end}})
	}
	return err
}
