// Package ingest moves data between a file system and blocks: [Add] turns a
// file or directory into a UnixFS DAG in a store, [Get] writes a DAG back as
// files.
//
// Both work on input of any size with bounded memory. Add reads each byte
// once, hashes on all cores, and hands blocks to the store in one order that
// depends on the input alone, so the same tree gives the same packs. What a
// file system can do to a reader (special files, symlinks, files that change
// under it, names that other systems cannot hold) is answered in package
// source; what the blocks look like, in package dag.
//
// The package knows nothing of registries, manifests or the network.
package ingest
