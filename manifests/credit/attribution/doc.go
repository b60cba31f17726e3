// Package attribution says who a dataset's value came from, as a published
// vector of integers: how many bytes, rows, words or points of score each key
// stands for. A key names a registered statement, a party or a data point;
// [Self] is what stays with the dataset itself. Money follows the vector by
// largest remainder and nothing else, so whoever disagrees disputes the vector,
// never the arithmetic.
//
// Each method is a function from inputs to a [Vector], under a name with a
// version ([ChunkFirstSeenV1], [KNNShapleyV1], …). One table ([Methods]) says what a
// method needs, how strong its evidence is, and whether anybody can compute it
// again. [Verify] does so and compares. FORMAT.md in this directory is
// normative for the methods and for their files.
//
// Everything is pure: bytes come in through writers, iterators and slices.
// There is no clock, no randomness and no floating point, and the order of the
// inputs never shows in the result. Functions may be called concurrently;
// counters and chunkers belong to one goroutine each.
//
// An error is fault.Invalid where an input breaks a rule, fault.TooLarge where
// it passes a limit, and otherwise whatever a reader or iterator reported.
//
// What no method here does: it does not judge quality, it does not verify
// signatures (the log's fold has), and it cannot see that two keys are one
// person.
package attribution
