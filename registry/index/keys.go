package index

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// The key layout. A key is the letter of its table and then the fields, in
// order: text is the bytes and a 0x00, asc and desc are eight bytes, a log index
// big-endian or its complement (so that a forward scan gives the newest first).
// CIDs stand as CIDv1 base32 text, identities as did:key text. Values are JSON
// inside a frame (frame.go). "i" in a value's column is a log index.
//
//	letter table         key fields                    value
//	-----  ------------- ----------------------------- -----------------------------------------------
//	A      attestation   about, index desc             Attestation
//	D      dataset       index desc                    datasetRow: an accepted version of a dataset or model
//	E      entry         index asc                     Entry: every log entry, with verdict and digest
//	G      signer        statement, identity           signerRow: the entry that brought the signature
//	H      handle        handle                        identity that owns it, i
//	C      key           key                           keyRow: whose it is; nothing for a key that signed, and has no event
//	I      identity      identity                      chainRow: what its key events come to
//	K      keyevent      identity, index asc           KeyEvent
//	M      meta          name                          "index": format, origin, applied, digest
//	                                                   "count/<table>": number of rows
//	N      name          publisher, name               fold.Head of the newest version, i
//	P      profile       identity                      Profile: the current one
//	R      registry      index desc                    Registry: the first is in force
//	S      statement     statement                     statementRow: how it was decided
//	T      term          kind, term, index desc        nothing: the dataset version has the term (terms.go)
//	V      version       publisher, name, version      i
//	X      envelope      envelope                      i of the first entry with it
//	Y      history       publisher, name, index desc   nothing: the versions of a name
//	Z      standin       tombstone                     i of an entry without a body, until the tombstone is applied
//
// The tables with small letters are those of credit. Where a value is nothing,
// the effect itself stands in table effects at the index.
//
//	a      agreement     statement                     agreementRow: what became of it
//	b      agreed        work, index desc              nothing: an agreement on the work
//	c      currency      code                          currencyRow
//	d      dispute       target, index desc            nothing: a dispute about the statement
//	e      effects       index asc                     effectsRow: the entry's effects that credit is made of
//	f      fetcher       terms, key, party             nothing: the key fetches for the party
//	g      commitment    identity, index desc          nothing: a commit/v1
//	h      resolution    about, index desc             nothing: a ruling on the version
//	i      acceptance    terms, party                  acceptanceRow: the newest one
//	j      adjustment    allocation, index desc        nothing: an adjustment of the allocation
//	k      payment       kind, key                     paymentRow: the statement that has the key
//	l      allocation    period, currency, index desc  nothing: an allocation/v1
//	m      calendar      index desc                    calendarRow: the first holds the open period
//	n      node          statement                     nodeRow: what later entries need of a version
//	o      payout        index desc                    nothing: a payout/v1
//	p      payee         identity, index desc          nothing: a payee/v1
//	q      result        payout, line                  resultRow: what became of a line
//	r      revenue       version, index desc           nothing: a payment about the version
//	s      settled       statement                     settledRow: what became of a payment
//	t      turnover      period, currency              Σ|netMinor| of what was counted in the period
//	u      usage         version, index desc           nothing: a use of the version
//	v      attribution   data, index desc              nothing: an attribution of the data
//	w      work          work                          workRow: who has had shares
//	x      withdrawal    version, index desc           nothing: a withdrawal or flag
//	y      accepts       party, index desc             nothing: an accept/v1
//	z      tombstone     index asc                     tombstoneRow: of the entry
//	B      withdrawn     version                       i of the publisher's first withdrawal
//
// Two more keys, 0x00 and 0xff, frame the whole: every scan that ends properly
// ends on a key, so an iterator that stops early is an error and not an answer.
//
// Counters are kept for all tables but meta, in the transaction that changes them.
var tables = []table{
	{'A', "attestation", []field{text, desc}},
	{'B', "withdrawn", []field{text}},
	{'C', "key", []field{text}},
	{'D', "dataset", []field{desc}},
	{'E', "entry", []field{asc}},
	{'G', "signer", []field{text, text}},
	{'H', "handle", []field{text}},
	{'I', "identity", []field{text}},
	{'K', "keyevent", []field{text, asc}},
	{'M', "meta", []field{text}},
	{'N', "name", []field{text, text}},
	{'P', "profile", []field{text}},
	{'R', "registry", []field{desc}},
	{'S', "statement", []field{text}},
	{'T', "term", []field{text, text, desc}},
	{'V', "version", []field{text, text, text}},
	{'X', "envelope", []field{text}},
	{'Y', "history", []field{text, text, desc}},
	{'Z', "standin", []field{text}},

	{'a', "agreement", []field{text}},
	{'b', "agreed", []field{text, desc}},
	{'c', "currency", []field{text}},
	{'d', "dispute", []field{text, desc}},
	{'e', "effects", []field{asc}},
	{'f', "fetcher", []field{text, text, text}},
	{'g', "commitment", []field{text, desc}},
	{'h', "resolution", []field{text, desc}},
	{'i', "acceptance", []field{text, text}},
	{'j', "adjustment", []field{text, desc}},
	{'k', "payment", []field{text, text}},
	{'l', "allocation", []field{text, text, desc}},
	{'m', "calendar", []field{desc}},
	{'n', "node", []field{text}},
	{'o', "payout", []field{desc}},
	{'p', "payee", []field{text, desc}},
	{'q', "result", []field{text, asc}},
	{'r', "revenue", []field{text, desc}},
	{'s', "settled", []field{text}},
	{'t', "turnover", []field{text, text}},
	{'u', "usage", []field{text, desc}},
	{'v', "attribution", []field{text, desc}},
	{'w', "work", []field{text}},
	{'x', "withdrawal", []field{text, desc}},
	{'y', "accepts", []field{text, desc}},
	{'z', "tombstone", []field{asc}},
}

// format is the version of the layout and of the values. Another one is not
// read: the index is rebuilt.
const format = 2

const (
	firstKey = "\x00"
	lastKey  = "\xff"

	tAttestation = 'A'
	tKey         = 'C'
	tDataset     = 'D'
	tEntry       = 'E'
	tSigner      = 'G'
	tHandle      = 'H'
	tIdentity    = 'I'
	tKeyEvent    = 'K'
	tMeta        = 'M'
	tName        = 'N'
	tProfile     = 'P'
	tRegistry    = 'R'
	tStatement   = 'S'
	tTerm        = 'T'
	tVersion     = 'V'
	tEnvelope    = 'X'
	tHistory     = 'Y'
	tStandIn     = 'Z'
	tWithdrawn   = 'B'

	tAgreement   = 'a'
	tAgreed      = 'b'
	tCurrency    = 'c'
	tDispute     = 'd'
	tEffects     = 'e'
	tCommitment  = 'g'
	tResolution  = 'h'
	tAdjustment  = 'j'
	tPayment     = 'k'
	tAllocation  = 'l'
	tCalendar    = 'm'
	tNode        = 'n'
	tPayout      = 'o'
	tPayee       = 'p'
	tResult      = 'q'
	tRevenue     = 'r'
	tSettled     = 's'
	tTurnover    = 't'
	tUsage       = 'u'
	tAttribution = 'v'
	tWork        = 'w'
	tAcceptance  = 'i'
	tFetcher     = 'f'
	tAccepts     = 'y'
	tWithdrawal  = 'x'
	tTombstone   = 'z'
)

type field int

const (
	text field = iota // bytes without 0x00, and a 0x00
	asc               // eight bytes, big-endian
	desc              // eight bytes, the complement
)

type table struct {
	letter byte
	name   string
	fields []field
}

func tableOf(letter byte) (table, bool) {
	for _, t := range tables {
		if t.letter == letter {
			return t, true
		}
	}
	return table{}, false
}

// key builds a key, or the prefix of one when parts are fewer than the fields:
// a string for a text field, a uint64 for an index. It panics on other parts,
// which is a mistake in this package; text must not hold 0x00.
func key(letter byte, parts ...any) []byte {
	t, ok := tableOf(letter)
	if !ok || len(parts) > len(t.fields) {
		panic(fmt.Sprintf("index: no key %q of %d parts", letter, len(parts)))
	}
	k := append(make([]byte, 0, 96), letter)
	for i, p := range parts {
		switch t.fields[i] {
		case text:
			k = append(append(k, p.(string)...), 0)
		case asc:
			k = binary.BigEndian.AppendUint64(k, p.(uint64))
		case desc:
			k = binary.BigEndian.AppendUint64(k, ^p.(uint64))
		}
	}
	return k
}

// parseKey is the inverse of key for whole keys.
func parseKey(k []byte) (t table, parts []any, ok bool) {
	if len(k) == 0 {
		return table{}, nil, false
	}
	if t, ok = tableOf(k[0]); !ok {
		return table{}, nil, false
	}
	rest := string(k[1:])
	for _, f := range t.fields {
		switch f {
		case text:
			s, after, found := strings.Cut(rest, "\x00")
			if !found {
				return t, nil, false
			}
			parts, rest = append(parts, s), after
		default:
			if len(rest) < 8 {
				return t, nil, false
			}
			n := binary.BigEndian.Uint64([]byte(rest[:8]))
			if f == desc {
				n = ^n
			}
			parts, rest = append(parts, n), rest[8:]
		}
	}
	return t, parts, rest == ""
}

// lastIndex reads the index at the end of a key.
func lastIndex(k []byte, f field) uint64 {
	n := binary.BigEndian.Uint64(k[len(k)-8:])
	if f == desc {
		return ^n
	}
	return n
}
