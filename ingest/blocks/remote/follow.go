package remote

import (
	"container/list"
	"context"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/unixfs"
)

const (
	// keptBytes bounds the nodes that are kept for the next question: who walks a
	// DAG asks for a node once to see what it is, and once to read it.
	keptBytes = 8 << 20
	// maxAhead bounds the nodes that are read before somebody asks for them.
	maxAhead = 64
	// maxPlan bounds the nodes that a plan remembers to read; those that it
	// forgets are read when asked for.
	maxPlan = 1 << 17
	// maxPlanned bounds the nodes whose children a plan knows of.
	maxPlanned = 1 << 21
)

// keep is the nodes that were read last.
type keep struct {
	bytes int
	list  list.List // of kept; the next to go is at the back
	at    map[[32]byte]*list.Element
}

type kept struct {
	key [32]byte
	b   []byte
}

func (k *keep) get(key [32]byte) ([]byte, bool) {
	e, ok := k.at[key]
	if !ok {
		return nil, false
	}
	k.list.MoveToFront(e)
	return e.Value.(kept).b, true
}

// put keeps b, and returns what has gone for it.
func (k *keep) put(key [32]byte, b []byte) (gone [][32]byte) {
	if k.at == nil {
		k.at = make(map[[32]byte]*list.Element)
	}
	if _, ok := k.at[key]; ok {
		return nil
	}
	k.at[key] = k.list.PushFront(kept{key, b})
	for k.bytes += cap(b); k.bytes > keptBytes && k.list.Len() > 1; {
		old := k.list.Remove(k.list.Back()).(kept)
		delete(k.at, old.key)
		k.bytes -= cap(old.b)
		gone = append(gone, old.key)
	}
	return gone
}

// A follower reads the nodes of a DAG before they are asked for, in the order in
// which they will be: depth first. The methods of a nil follower do nothing; all
// but run are called with Sources.mu held.
type follower struct {
	s     *Sources
	plan  []cid.Cid             // the next one last
	seen  map[[32]byte]struct{} // nodes whose children are in the plan, or were
	ahead map[[32]byte]struct{} // read or being read, and not asked for yet
	more  chan struct{}         // holds one when there may be something to do
}

// Follow says that the caller is about to read the DAG below root in canonical
// order. Its nodes are then read ahead, at most 64 of them; its raw leaves are not,
// because the caller may have them. stop ends it. One DAG is followed at a time:
// while one is, Follow does nothing.
func (s *Sources) Follow(ctx context.Context, root cid.Cid) (stop func()) {
	if root.Prefix().Codec == cid.Raw {
		return func() {}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.follow != nil || s.closed {
		return func() {}
	}
	f := &follower{s: s, plan: []cid.Cid{root}, seen: make(map[[32]byte]struct{}), ahead: make(map[[32]byte]struct{}), more: make(chan struct{}, 1)}
	s.follow = f
	ctx, cancel := context.WithCancel(ctx)
	after := context.AfterFunc(s.ctx, cancel)
	s.wg.Add(1)
	done := make(chan struct{})
	f.poke()
	go func() {
		defer s.wg.Done()
		defer close(done)
		f.run(ctx)
	}()
	return func() {
		after()
		cancel()
		<-done
		s.mu.Lock()
		s.follow = nil
		s.mu.Unlock()
	}
}

func (f *follower) poke() {
	select {
	case f.more <- struct{}{}:
	default:
	}
}

// run starts the reading of what comes next in the plan, until ctx ends.
func (f *follower) run(ctx context.Context) {
	for {
		select {
		case <-f.more:
		case <-ctx.Done():
			return
		}
		for {
			f.s.mu.Lock()
			c, ok := f.next()
			if ok {
				f.s.wg.Add(1)
			}
			f.s.mu.Unlock()
			if !ok {
				break
			}
			go func() {
				defer f.s.wg.Done()
				f.s.block(ctx, c, false) // an error is for who wants the block
			}()
		}
	}
}

// next takes a node from the plan, unless enough is read ahead.
func (f *follower) next() (cid.Cid, bool) {
	for len(f.plan) > 0 && len(f.ahead) < maxAhead && !f.s.closed {
		c := f.plan[len(f.plan)-1]
		f.plan = f.plan[:len(f.plan)-1]
		key, err := digest(c)
		if err != nil {
			continue
		}
		if _, ok := f.seen[key]; ok {
			continue
		}
		if _, ok := f.ahead[key]; ok || f.s.flights[key] != nil {
			continue // when it lands, its children come into the plan
		}
		if b, ok := f.s.kept.get(key); ok {
			f.arrived(c, key, b)
			continue
		}
		f.ahead[key] = struct{}{}
		return c, true
	}
	return cid.Undef, false
}

// taken notes that a node was asked for, or is there no more.
func (f *follower) taken(key [32]byte) {
	if f == nil {
		return
	}
	if _, ok := f.ahead[key]; ok {
		delete(f.ahead, key)
		f.poke()
	}
}

// arrived puts the children of a node into the plan.
func (f *follower) arrived(c cid.Cid, key [32]byte, b []byte) {
	if f == nil || len(f.seen) >= maxPlanned {
		return
	}
	if _, ok := f.seen[key]; ok {
		return
	}
	f.seen[key] = struct{}{}
	links, err := unixfs.Links(c, b)
	if err != nil {
		return // who reads it will say so
	}
	for _, l := range slices.Backward(links) {
		if l.Prefix().Codec == cid.DagProtobuf {
			f.plan = append(f.plan, l)
		}
	}
	if n := len(f.plan) - maxPlan; n > 0 {
		f.plan = slices.Delete(f.plan, 0, n)
	}
	f.poke()
}
