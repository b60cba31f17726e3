// Package dag builds UnixFS DAGs: it turns leaves, names and targets into
// dag-pb blocks and tells their CIDs. It follows the CID profiles of IPIP-499,
// so that the same bytes get the same CID here as in Kubo and every other
// implementation of the profile.
//
// Everything is built bottom-up and streams: a [FileBuilder] keeps a few
// groups of links, a [DirBuilder] keeps the entries of one directory in a
// compact form, and finished blocks go to a [Sink] at once. Nothing here reads
// files, and no process-wide setting of another library is touched, so two
// profiles can be used side by side.
//
// What it does not do: modes and modification times are never written (they
// are in no profile), and the trickle layout is not built.
package dag
