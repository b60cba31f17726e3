package attribution

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// Limits of the points of knn-shapley/1.
const (
	// MaxTrain bounds the training points. Exact scores have a common denominator
	// of some 1.44·MaxTrain bits, kept twice for each point: 96 MiB at the limit.
	MaxTrain = 1 << 14
	// MaxTest bounds the test points.
	MaxTest = 1 << 16
	// MaxDim bounds an embedding; models of today have 384 to 4,096 dimensions.
	// A squared distance stays below 2^45.
	MaxDim = 1 << 13
	// MaxKNNWork bounds train · test · dim, the products of all distances:
	// minutes of one core.
	MaxKNNWork = 1 << 38
	// MaxPointsFile bounds a file of points: MaxTrain lines of 4,096 dimensions.
	MaxPointsFile = 272 << 20
)

const pointsHeader = "key,label,embedding\n"

// A Point is a labelled embedding.
type Point struct {
	Key       string // by CheckKey, and not Self
	Label     string // by CheckKey, and not Self
	Embedding []int16
}

// EncodePoints returns the points file: a header line, then a line
// "key,label,embedding" for each point in the order of the keys' bytes; an
// embedding is 4 lower-case hex digits for each number, two's complement,
// big-endian. Malformed points are fault.Invalid; above a limit,
// fault.TooLarge.
func EncodePoints(points []Point) ([]byte, error) {
	p := byKey(points)
	if err := checkPoints(p, MaxTest); err != nil {
		return nil, err
	}
	b := []byte(pointsHeader)
	for _, x := range p {
		b = append(append(append(append(b, x.Key...), ','), x.Label...), ',')
		for _, n := range x.Embedding {
			b = hex.AppendEncode(b, []byte{byte(uint16(n) >> 8), byte(n)})
		}
		b = append(b, '\n')
	}
	if len(b) > MaxPointsFile {
		return nil, fault.New(fault.TooLarge, "a file of points may have %d bytes, this one would have %d", MaxPointsFile, len(b))
	}
	return b, nil
}

// DecodePoints reads a points file. It accepts what [EncodePoints] returns and
// nothing else: the rest is fault.Invalid, or fault.TooLarge above a limit.
func DecodePoints(b []byte) ([]Point, error) {
	if len(b) > MaxPointsFile {
		return nil, fault.New(fault.TooLarge, "a file of points may have %d bytes, this one has %d", MaxPointsFile, len(b))
	}
	rest, ok := bytes.CutPrefix(b, []byte(pointsHeader))
	if !ok {
		return nil, fault.New(fault.Invalid, "a file of points begins with the line %q", pointsHeader)
	}
	var points []Point
	for line := 2; len(rest) > 0; line++ {
		var text []byte
		if text, rest, ok = bytes.Cut(rest, []byte("\n")); !ok {
			return nil, fault.New(fault.Invalid, "line %d of the points has no end", line)
		}
		f := bytes.Split(text, []byte(","))
		if len(f) != 3 || len(f[2])%4 != 0 || bytes.ContainsAny(f[2], "ABCDEF") {
			return nil, fault.New(fault.Invalid, "line %d of the points: not a key, a label and an embedding", line)
		}
		raw, err := hex.AppendDecode(nil, f[2])
		if err != nil {
			return nil, fault.New(fault.Invalid, "line %d of the points: %w", line, err)
		}
		p := Point{string(f[0]), string(f[1]), make([]int16, len(raw)/2)}
		for i := range p.Embedding {
			p.Embedding[i] = int16(uint16(raw[2*i])<<8 | uint16(raw[2*i+1]))
		}
		if n := len(points); n > 0 && points[n-1].Key >= p.Key {
			return nil, fault.New(fault.Invalid, "line %d of the points: %s is out of order", line, fault.Quote(p.Key))
		}
		if len(points) == MaxTest {
			return nil, fault.New(fault.TooLarge, "more than %d points", MaxTest)
		}
		points = append(points, p)
	}
	return points, checkPoints(points, MaxTest)
}

func byKey(points []Point) []Point {
	p := slices.Clone(points)
	slices.SortStableFunc(p, func(a, b Point) int { return strings.Compare(a.Key, b.Key) })
	return p
}

// checkPoints checks points in order of their keys: none twice, and all of one
// dimension.
func checkPoints(p []Point, limit int) error {
	if len(p) > limit {
		return fault.New(fault.TooLarge, "%d points; %d are allowed", len(p), limit)
	}
	for i, x := range p {
		for _, s := range []string{x.Key, x.Label} {
			if err := checkName(s); err != nil {
				return err
			}
		}
		switch {
		case i > 0 && p[i-1].Key == x.Key:
			return fault.New(fault.Invalid, "the point %s stands twice", fault.Quote(x.Key))
		case len(x.Embedding) == 0:
			return fault.New(fault.Invalid, "the point %s has no embedding", fault.Quote(x.Key))
		case len(x.Embedding) > MaxDim:
			return fault.New(fault.TooLarge, "the point %s has %d dimensions; %d are allowed", fault.Quote(x.Key), len(x.Embedding), MaxDim)
		case len(x.Embedding) != len(p[0].Embedding):
			return fault.New(fault.Invalid, "the point %s has %d dimensions, %s has %d", fault.Quote(x.Key), len(x.Embedding), fault.Quote(p[0].Key), len(p[0].Embedding))
		}
	}
	return nil
}
