package records

import "github.com/cairn-registry/cairn/manifests/fault"

// A schema gathers the fields of records, in the order in which they are first
// seen.
type schema struct {
	list  []column
	names map[string]int
	full  bool // more fields came than a schema holds: it says nothing
}

type column struct {
	name string
	typ  string
	null bool  // it was null or empty
	seen int64 // records that had it
}

// column returns the place of a field, -1 when it has none.
func (s *schema) column(name []byte) int {
	if i, ok := s.names[string(name)]; ok {
		return i
	}
	if s.full {
		return -1
	}
	if len(s.list) == MaxFields || len(name) > MaxName || len(name) == 0 || fault.Printable(string(name)) != string(name) {
		s.full, s.list, s.names = true, nil, nil
		return -1
	}
	if s.names == nil {
		s.names = make(map[string]int)
	}
	s.names[string(name)] = len(s.list)
	s.list = append(s.list, column{name: string(name)})
	return len(s.list) - 1
}

// saw records that a record had the field i, with a value of a type.
func (s *schema) saw(i int, typ string) {
	if i < 0 || i >= len(s.list) {
		return
	}
	c := &s.list[i]
	c.seen++
	if typ == Null {
		c.null = true
		return
	}
	c.typ = Wider(c.typ, typ)
}

// Wider is the type of a field that holds both.
func Wider(a, b string) string {
	switch {
	case a == b || b == "" || b == Null:
		return a
	case a == "" || a == Null:
		return b
	case a == Integer && b == Number || a == Number && b == Integer:
		return Number
	}
	return String
}

// fields returns the fields of so many records.
func (s *schema) fields(records int64) []Field {
	if len(s.list) == 0 {
		return nil
	}
	out := make([]Field, len(s.list))
	for i, c := range s.list {
		if c.typ == "" {
			c.typ = Null
		}
		out[i] = Field{Name: c.name, Type: c.typ, Nullable: c.null || c.seen < records}
	}
	return out
}

// typeOf guesses the type of a value that is written as text. Once a column is
// known to be text, nothing has to be guessed any more.
func typeOf(v []byte, known string) string {
	if len(v) == 0 {
		return Null
	}
	if known == String {
		return String
	}
	switch c := v[0]; {
	case c == 't' || c == 'T' || c == 'f' || c == 'F':
		switch string(v) {
		case "true", "false", "True", "False", "TRUE", "FALSE":
			return Boolean
		}
	case c == '-' || '0' <= c && c <= '9':
		return numeric(v)
	}
	return String
}

// numeric tells integers, numbers and times apart. Digits with a zero in front
// are codes, which is text.
func numeric(v []byte) string {
	if len(v) > 40 {
		return String
	}
	i := 0
	if v[0] == '-' {
		i++
	}
	digits := func() int {
		n := 0
		for ; i < len(v) && '0' <= v[i] && v[i] <= '9'; i++ {
			n++
		}
		return n
	}
	first := i
	n := digits()
	if n == 4 && first == 0 && i < len(v) && v[i] == '-' {
		return temporal(v)
	}
	if n == 0 || n > 1 && v[first] == '0' {
		return String
	}
	if i == len(v) {
		if n > 18 {
			return Number
		}
		return Integer
	}
	if v[i] == '.' {
		i++
		if digits() == 0 {
			return String
		}
	}
	if i < len(v) && (v[i] == 'e' || v[i] == 'E') {
		i++
		if i < len(v) && (v[i] == '-' || v[i] == '+') {
			i++
		}
		if digits() == 0 {
			return String
		}
	}
	if i < len(v) {
		return String
	}
	return Number
}

// monthDays are the days of the months, of a leap year.
var monthDays = [...]byte{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// temporal reads 2006-01-02, alone or with a time of day behind it.
func temporal(v []byte) string {
	shape := func(v []byte, of string) bool {
		for i := range of {
			if digit := '0' <= v[i] && v[i] <= '9'; digit != (of[i] == '0') || !digit && of[i] != v[i] {
				return false
			}
		}
		return true
	}
	const day, clock = "0000-00-00", "00:00:00"
	if len(v) < len(day) || !shape(v, day) {
		return String
	}
	if m, d := 10*(v[5]-'0')+v[6]-'0', 10*(v[8]-'0')+v[9]-'0'; m < 1 || m > 12 || d < 1 || d > monthDays[m-1] {
		return String
	}
	if len(v) == len(day) {
		return Date
	}
	if c := v[len(day)]; c != 'T' && c != 't' && c != ' ' || len(v) < len(day)+1+len(clock) || !shape(v[len(day)+1:], clock) {
		return String
	}
	for _, c := range v[len(day)+1+len(clock):] {
		if (c < '0' || c > '9') && c != '.' && c != ':' && c != '+' && c != '-' && c != 'Z' && c != 'z' {
			return String
		}
	}
	return DateTime
}
