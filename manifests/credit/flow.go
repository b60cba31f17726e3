package credit

import (
	"runtime"
	"slices"
	"sync"
)

// nodeSplitter divides the inflow of nodes.
type nodeSplitter struct {
	splitter
	ws []uint64
}

// splitNode divides a among the edges of n, in their order, and n itself. The
// parts are valid until the next call.
func (l *Ledger) splitNode(s *nodeSplitter, n uint32, a Amount) (up []Amount, kept Amount) {
	v := &l.nodes[n]
	if v.edges == 0 {
		return nil, a
	}
	s.ws = append(append(s.ws[:0], l.edgeWeight[v.edge0:v.edge0+v.edges]...), v.self)
	parts := s.split(a, s.ws, v.total)
	return parts[:v.edges], parts[v.edges]
}

// pooled reports whether a pool gets what the node keeps of revenue of p.
func (v *node) pooled(p Period) bool { return v.pool != none && v.withdrawn != 0 && v.withdrawn <= p }

// A source is revenue that arrives at a node.
type source struct{ gross, upstream int128 }

// A flow is what a pass leaves at each node.
type flow struct {
	in       []int128 // inflow, upstream-only revenue left out
	kept     []int128
	retained map[uint32]int128 // kept by the licensee
}

// pass pushes revenue of one sign, under the snapshot of p, from the nodes where
// it arrives to all that they lead to. Descending order of the log is an order
// in which every child stands before its parents, so each node is visited once,
// with all its inflow: O(V + E).
func (l *Ledger) pass(direct map[uint32]source, p Period) flow {
	f := flow{in: make([]int128, len(l.nodes)), kept: make([]int128, len(l.nodes)), retained: map[uint32]int128{}}
	top := -1
	for n, s := range direct {
		f.in[n] = s.gross
		top = max(top, int(n))
	}
	var s nodeSplitter
	push := func(n uint32, a int128) (kept int128) {
		up, rest := l.splitNode(&s, n, a.amount())
		to := l.edgeTo[l.nodes[n].edge0:]
		for i, u := range up {
			f.in[to[i]] = f.in[to[i]].plus(narrow(u))
		}
		return narrow(rest)
	}
	for i := top; i >= 0; i-- {
		n := uint32(i)
		if u := direct[n].upstream; !u.isZero() {
			f.retained[n] = push(n, u)
		}
		if f.in[n].isZero() {
			continue
		}
		kept := push(n, f.in[n])
		if v := &l.nodes[n]; v.pooled(p) {
			f.in[v.pool] = f.in[v.pool].plus(kept)
			kept = int128{}
		}
		f.kept[n] = kept
	}
	return f
}

// A block is what one node kept of the revenue of one snapshot period, and the
// list that shares it. What a licensee retains is a block of its own.
type block struct {
	node     uint32
	snapshot Period
	shares   shares
	plus     int128 // of the pass of non-negative events
	minus    int128 // of the pass of negative events
	slot     int    // of the first share's amount
	agreed   bool   // the shares are an agreement's
	retained bool
}

func (b *block) kept() int128 { return b.plus.plus(b.minus) }

// A row is the account of one node and snapshot period.
type row struct {
	node     uint32
	snapshot Period
	direct   int128
	in       int128 // direct and upstream-only revenue included
	kept     int128
	retained int128
}

// An allocation divides the events of one run. Blocks and rows are sorted by
// snapshot period and statement.
type allocation struct {
	blocks []block
	rows   []row
	slots  []int128 // amounts of shares, block after block
}

func (a *allocation) amounts(b *block) []int128 { return a.slots[b.slot : b.slot+int(b.shares.n)] }

// allocate divides events, as at the end of any period not before them.
func (l *Ledger) allocate(events []uint32, retro []uint32) *allocation {
	bySnapshot := map[Period][2]map[uint32]source{}
	var snapshots []Period
	for _, id := range events {
		e := &l.events[id]
		signs, ok := bySnapshot[e.Period]
		if !ok {
			signs = [2]map[uint32]source{{}, {}}
			bySnapshot[e.Period] = signs
			snapshots = append(snapshots, e.Period)
		}
		sign := 0
		if e.fine.Sign() < 0 {
			sign = 1
		}
		s := signs[sign][e.node]
		if e.Settlement == UpstreamOnly {
			s.upstream = s.upstream.plus(narrow(e.fine))
		} else {
			s.gross = s.gross.plus(narrow(e.fine))
		}
		signs[sign][e.node] = s
	}
	slices.Sort(snapshots)
	a := &allocation{}
	slots := 0
	for _, p := range snapshots {
		slots = l.collect(a, p, bySnapshot[p], retro, slots)
	}
	a.slots = make([]int128, slots)
	inParallel(len(a.blocks), func(from, to int) {
		var s splitter
		for i := from; i < to; i++ {
			b := &a.blocks[i]
			out := a.amounts(b)
			for _, part := range []int128{b.plus, b.minus} {
				if part.isZero() {
					continue
				}
				for j, v := range s.split(part.amount(), l.weights(b.shares), b.shares.total) {
					out[j] = out[j].plus(narrow(v))
				}
			}
		}
	})
	return a
}

// collect runs the two passes of a snapshot period and adds their blocks and
// rows to a. It returns the number of slots so far.
func (l *Ledger) collect(a *allocation, p Period, signs [2]map[uint32]source, retro []uint32, slots int) int {
	var flows []flow
	for _, direct := range signs {
		if len(direct) > 0 {
			flows = append(flows, l.pass(direct, p))
		} else {
			flows = append(flows, flow{})
		}
	}
	at := func(vs []int128, n uint32) int128 {
		if len(vs) == 0 {
			return int128{}
		}
		return vs[n]
	}
	var reached []uint32
	for i := range l.nodes {
		n := uint32(i)
		for k := range flows {
			_, d := signs[k][n]
			if d || !at(flows[k].in, n).isZero() {
				reached = append(reached, n)
				break
			}
		}
	}
	l.ids.sort(reached)
	add := func(b block) {
		if b.plus.isZero() && b.minus.isZero() {
			return
		}
		b.shares, b.agreed = l.sharesAt(b.node, p, retro)
		b.snapshot, b.slot = p, slots
		slots += int(b.shares.n)
		a.blocks = append(a.blocks, b)
	}
	a.rows = slices.Grow(a.rows, len(reached))
	for _, n := range reached {
		r := row{node: n, snapshot: p}
		for k, f := range flows {
			d := signs[k][n]
			r.direct = r.direct.plus(d.gross).plus(d.upstream)
			r.in = r.in.plus(at(f.in, n)).plus(d.upstream)
			r.kept = r.kept.plus(at(f.kept, n))
			r.retained = r.retained.plus(f.retained[n])
		}
		a.rows = append(a.rows, r)
		add(block{node: n, plus: at(flows[0].kept, n), minus: at(flows[1].kept, n)})
		add(block{node: n, plus: flows[0].retained[n], minus: flows[1].retained[n], retained: true})
	}
	return slots
}

// inParallel calls do for ranges that cover 0 to n, on as many goroutines as
// may run. The ranges are independent of each other: the result does not depend
// on their number.
func inParallel(n int, do func(from, to int)) {
	const least = 256 // below it a goroutine costs more than it brings
	workers := min(runtime.GOMAXPROCS(0), n/least)
	if workers < 2 {
		do(0, n)
		return
	}
	// Ranges are smaller than n/workers, as some blocks are heavier than others.
	size := max(least, n/(8*workers))
	var mu sync.Mutex
	next := 0
	take := func() (from, to int) {
		mu.Lock()
		defer mu.Unlock()
		from = next
		next = min(n, next+size)
		return from, next
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				from, to := take()
				if from == to {
					return
				}
				do(from, to)
			}
		})
	}
	wg.Wait()
}
