package api

import (
	"github.com/cairn-registry/cairn/registry/wire"
)

// An operation describes a route of /v1 for the OpenAPI document. A test holds
// the table against the routes, in both directions, and answers against it.
type operation struct {
	method, path string
	id           string // a name for generated clients
	about        string // a sentence
	query        []parameter
	body         any    // of the request: a value of its type; nil for none
	bodyType     string // its media type, where that is not JSON
	answer       any    // of status: a value of its type; nil for none
	answerType   string // its media type, where that is not JSON
	status       int    // of a good answer; 0 is 200
	also         []int  // other good answers, without a body that matters
	owner        bool   // for the owner of the home alone, on its socket
}

// A parameter of a query.
type parameter struct {
	name, about string
	required    bool
}

var page = []parameter{
	{name: "after", about: "where the page begins: next of the page before"},
	{name: "limit", about: "how many to answer with at most, 1 to 1000"},
}

func paged(more ...parameter) []parameter { return append(more, page...) }

// Media types of answers that are not JSON.
const (
	typeDSSE    = "application/vnd.dsse+json"
	typeText    = "text/plain; charset=utf-8"
	typeLD      = `application/ld+json; profile="http://mlcommons.org/croissant/1.1"`
	typeOpenAPI = "application/vnd.oai.openapi+json;version=3.1"
)

// anything is a JSON value that this document does not describe further.
type anything struct{}

// operations is the table of /v1. Other packages that mount routes there have
// their rows here too: it is one document.
var operations = []operation{
	{method: "GET", path: "/v1/openapi.json", id: "openapi", about: "This document.", answer: anything{}, answerType: typeOpenAPI},
	{method: "GET", path: "/v1/status", id: "status", about: "What this registry is, and how far it is.", answer: wire.Status{}},
	{method: "GET", path: "/v1/entries/{index}", id: "entry", about: "An entry of the log, with its verdict.", answer: wire.Entry{}},
	{method: "GET", path: "/v1/statements/{cid}", id: "statement", about: "What became of a statement.", answer: wire.Statement{}},
	{method: "GET", path: "/v1/statements/{cid}/lineage", id: "lineage", about: "What a version comes from, and what comes from it.", query: page, answer: wire.Lineage{}},
	{method: "GET", path: "/v1/statements/{cid}/envelope", id: "envelope", about: "The statement's DSSE envelope, as it is logged.", answer: anything{}, answerType: typeDSSE},
	{method: "GET", path: "/v1/statements/{cid}/receipt", id: "receipt", about: "The proof that the statement is logged, as C2SP tlog-proof.", answer: "", answerType: typeText},
	{method: "GET", path: "/v1/statements/{cid}/bundle", id: "bundle", about: "Envelope and proof in one document, to be checked without a network.", answer: anything{}},
	{method: "GET", path: "/v1/datasets", id: "datasets", about: "Versions of datasets that match, newest first.", query: paged(
		parameter{name: "license", about: "an SPDX expression"}, parameter{name: "contributor", about: "a did:key or a handle"},
		parameter{name: "keyword", about: "a keyword"}, parameter{name: "publisher", about: "a did:key or a handle"},
		parameter{name: "name", about: "a name"}, parameter{name: "root", about: "the CID of the data"},
		parameter{name: "source", about: "a CID or URL that it declares as source"}, parameter{name: "latest", about: "true: newest versions only"},
	), answer: wire.Page{}},
	{method: "GET", path: "/v1/datasets/{publisher}/{name}", id: "history", about: "The versions of a name, newest first.", query: page, answer: wire.Page{}},
	{method: "GET", path: "/v1/datasets/{publisher}/{name}/{version}", id: "version", about: "One version of a name; a segment that is no version leads to the data below it.", answer: wire.Page{}, also: []int{302}},
	{method: "GET", path: "/v1/datasets/{publisher}/{name}/{path...}", id: "data", about: "Leads to the data of a name, or of name@version, under /ipfs.", status: 302},
	{method: "GET", path: "/v1/resolve", id: "resolve", about: "What a reference names: a name, a statement, a manifest or a root.", query: []parameter{
		{name: "ref", about: "did or handle / name [@version], or a CID", required: true},
	}, answer: wire.Resolution{}},
	{method: "GET", path: "/v1/keys/{did}", id: "identity", about: "What the log says about an identity, by its name or any of its keys: its keys, from when to when each signs, and its profile.", query: page, answer: wire.Identity{}},

	{method: "GET", path: "/v1/metadata", id: "metadataFormats", about: "The formats in which datasets are described.", answer: wire.MetadataFormats{}},
	{method: "GET", path: "/v1/metadata/{format}/{ref...}", id: "metadata", about: "The description of a dataset in a format, such as croissant, by publisher/name[@version] or a CID.", answer: anything{}, answerType: typeLD},
	{method: "GET", path: "/v1/lineage/{cid}", id: "graph", about: "The graph around a version: what it comes from, what comes from it, with shares, activities and flags.", query: []parameter{
		{name: "direction", about: "up, down or both"}, {name: "depth", about: "how far, 1 to 64"},
		{name: "limit", about: "how many nodes at most"}, {name: "manifests", about: "true: read manifests for activities and outside sources"},
	}, answer: wire.LineageGraph{}},
	{method: "GET", path: "/v1/impact/{cid}", id: "impact", about: "What comes from a version, and which models and uses have it.", query: []parameter{
		{name: "depth", about: "how far"}, {name: "limit", about: "how many nodes at most"},
	}, answer: wire.Impact{}},
	{method: "GET", path: "/v1/overlap/{statement}", id: "overlap", about: "What a dataset shares with earlier ones, or with one other.", query: []parameter{
		{name: "with", about: "the statement of the one other"},
	}, answer: wire.Overlap{}},
	{method: "GET", path: "/v1/acceptances", id: "acceptances", about: "Who accepted which terms, by terms or by party.", query: []parameter{
		{name: "terms", about: "the CID of a terms document"}, {name: "party", about: "a did:key or a handle"}, {name: "after", about: "the party that the page begins after"},
		{name: "limit", about: "how many to answer with at most, 1 to 1000"},
	}, answer: wire.AcceptancePage{}},
	{method: "GET", path: "/v1/withdrawals", id: "withdrawals", about: "Withdrawals and flags of a version, or whether the data under a root is still offered.", query: []parameter{
		{name: "statement", about: "of a version"}, {name: "root", about: "the CID of data"},
	}, answer: wire.Withdrawals{}},
	{method: "GET", path: "/v1/terms/{cid}", id: "terms", about: "A terms document, the bytes that its CID names.", answer: anything{}},
	{method: "POST", path: "/v1/terms/check", id: "checkTerms", about: "What may be done with a mixture of versions, by the rules of the terms engine. It reads only. Not legal advice.", body: wire.TermsCheck{}, answer: wire.TermsChecked{}},

	{method: "GET", path: "/v1/registry", id: "registry", about: "The registry/v1 in force: operators, arbiters, calendar.", answer: wire.Registry{}},
	{method: "GET", path: "/v1/nodes/{cid}", id: "node", about: "A version as credit sees it.", answer: wire.Node{}},
	{method: "GET", path: "/v1/nodes/{publisher}/{name}", id: "newestNode", about: "The newest version of a name as credit sees it.", answer: wire.Node{}},
	{method: "GET", path: "/v1/nodes/{publisher}/{name}/{version}", id: "namedNode", about: "A version of a name as credit sees it.", answer: wire.Node{}},
	{method: "GET", path: "/v1/works/{work}/agreements", id: "agreements", about: "The agreements of a work, newest first.", answer: wire.Agreements{}},
	{method: "GET", path: "/v1/agreements/{cid}", id: "agreement", about: "An agreement, and what became of it.", answer: wire.Agreement{}},
	{method: "GET", path: "/v1/periods", id: "periods", about: "The calendar: which periods are closed, which is open.", answer: wire.Calendar{}},
	{method: "GET", path: "/v1/currencies", id: "currencies", about: "The units of account.", answer: wire.Currencies{}},
	{method: "GET", path: "/v1/revenue", id: "revenue", about: "Payments that were reported.", query: paged(
		parameter{name: "statement", about: "those of one version"}, parameter{name: "key", about: "the one that has a key"}, parameter{name: "period", about: "those of one period"},
	), answer: wire.RevenuePage{}},
	{method: "GET", path: "/v1/usages", id: "usages", about: "Records of use.", query: paged(parameter{name: "statement", about: "those of one version"}), answer: wire.UsagePage{}},
	{method: "GET", path: "/v1/disputes", id: "disputes", about: "Disputes and their rulings.", query: paged(parameter{name: "statement", about: "those about one version"}), answer: wire.DisputePage{}},
	{method: "GET", path: "/v1/payees/{did}", id: "payees", about: "How a party is paid; where to is nowhere in the registry.", answer: wire.Payees{}},

	{method: "GET", path: "/v1/credit", id: "creditStatus", about: "How far the books are.", answer: wire.CreditStatus{}},
	{method: "GET", path: "/v1/credit/runs/{period}/{currency}", id: "creditRun", about: "What the run of a period and a currency comes to.", answer: wire.CreditRun{}},
	{method: "GET", path: "/v1/credit/runs/{period}/{currency}/payees", id: "creditPayees", about: "The payees of a run, and what can be paid to them.", query: paged(
		parameter{name: "min", about: "the smallest sum that is paid out, in minor units"},
	), answer: wire.PayeeLines{}},
	{method: "GET", path: "/v1/credit/runs/{period}/{currency}/statements/{party}", id: "creditStatement", about: "What one payee is told, with the proof that it is part of the run.", answer: wire.PayeeStatement{}},
	{method: "GET", path: "/v1/credit/runs/{period}/{currency}/adjustment", id: "creditAdjustment", about: "By how much a retroactive agreement changes a run.", query: []parameter{
		{name: "agreement", about: "the CID of the agreement", required: true},
	}, answer: wire.Deltas{}},
	{method: "GET", path: "/v1/credit/balances/{party}", id: "balances", about: "What a party has in each currency.", answer: wire.Balances{}},
	{method: "GET", path: "/v1/credit/explain", id: "explain", about: "How the money of a payment reached a party.", query: []parameter{
		{name: "event", about: "the CID of the revenue statement", required: true}, {name: "party", about: "a did:key or a handle", required: true},
		{name: "offset", about: "where the page begins: next of the page before"},
	}, answer: wire.Explanation{}},
	{method: "GET", path: "/v1/payouts", id: "payouts", about: "Payouts, newest first.", query: []parameter{{name: "key", about: "the one that has a key"}}, answer: wire.Payouts{}},
	{method: "GET", path: "/v1/payouts/{cid}", id: "payout", about: "A payout.", answer: wire.Payout{}},
	{method: "GET", path: "/v1/payouts/{cid}/lines", id: "payoutLines", about: "The lines of a payout, and what became of them.", query: page, answer: wire.PayoutLines{}},

	{method: "POST", path: "/v1/entries", id: "submit", about: "Logs a statement that needs no upload: for the owner of the home, and for who may write.", body: anything{}, bodyType: typeDSSE, answer: wire.Submitted{}},
	{method: "POST", path: "/v1/uploads", id: "openUpload", about: "Declares a statement with the shards of its content.", body: wire.OpenUpload{}, answer: wire.Upload{}, status: 201, also: []int{200}},
	{method: "GET", path: "/v1/uploads/{id}", id: "upload", about: "Which shards an upload lacks, and how far it is.", answer: wire.Upload{}},
	{method: "PUT", path: "/v1/uploads/{id}/shards/{sha256}", id: "sendShard", about: "Sends a shard: a CARv1 whose SHA-256 is the name. Sending it again is good.", body: "", bodyType: "application/vnd.ipld.car", status: 204},
	{method: "POST", path: "/v1/uploads/{id}/commit", id: "commitUpload", about: "Takes in what was sent and logs the statement. A problem with status 422 names what is missing.", answer: wire.Submitted{}, status: 201, also: []int{202}},
	{method: "DELETE", path: "/v1/uploads/{id}", id: "dropUpload", about: "Forgets an upload.", status: 204},

	{method: "GET", path: "/v1/entries/{index}/tombstone", id: "tombstoneOf", about: "The tombstone that would stand for an entry: what the fold said of it.", answer: wire.Tombstone{}, owner: true},
	{method: "POST", path: "/v1/access", id: "access", about: "Trades a signed request for a token that opens the gated data whose terms its key accepted, for a day at most.", answer: wire.Access{}},
	{method: "POST", path: "/v1/fetches", id: "openFetch", about: "Opens a fetch of a version: requests for data that carry its ID in the header " + wire.FetchHeader + " are counted.", body: wire.OpenFetch{}, answer: wire.Fetch{}},
	{method: "POST", path: "/v1/fetches/record", id: "fetchRecord", about: "Signs what was sent under a fetch so far: the receipt of a download.", body: wire.AskRecord{}, answer: anything{}, answerType: typeDSSE},

	{method: "POST", path: "/v1/blocks/missing", id: "missing", about: "Which of some blocks the store lacks.", body: wire.Missing{}, answer: wire.Missing{}, owner: true},
	{method: "POST", path: "/v1/blocks/adopt", id: "adopt", about: "Takes over a private pack.", body: wire.Adopt{}, answer: wire.Adopted{}, owner: true},
	{method: "POST", path: "/v1/check", id: "check", about: "Checks every byte of the home.", answer: wire.CheckReport{}, owner: true},
	{method: "POST", path: "/v1/credit/simulate", id: "simulate", about: "Who would get what of revenue of a work that is not logged.", body: wire.Simulation{}, answer: wire.Simulated{}, owner: true},
	{method: "GET", path: "/v1/credit/journal/{currency}", id: "journal", about: "The books of a currency, for a program that checks them.", query: []parameter{
		{name: "format", about: "hledger, beancount or ledger", required: true},
	}, answer: "", answerType: typeText, owner: true},
	{method: "POST", path: "/v1/agreements/parties", id: "parties", about: "Whom an agreement concerns that is not logged; the body is its payload.", body: anything{}, answer: wire.Parties{}, owner: true},
}
