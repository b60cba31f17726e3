// Lets @openzeppelin/merkle-tree judge a dump of package payfile.
//
//   node standard.mjs TOOLS DUMP PROOFS
//
// TOOLS is the folder that holds node_modules. DUMP is the dump. PROOFS is
// {"root": "0x…", "proofs": [["0x…", …], …]}, a proof for each value of the
// dump, as payfile made them. Exits 0 when the library loads the dump, finds
// the same root, makes the same proofs, verifies ours, refuses them for another
// value, and dumps a tree of the same values to the same bytes.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import assert from "node:assert/strict";

const [tools, dumpFile, proofsFile] = process.argv.slice(2);
const require = createRequire(join(tools, "package.json"));
const { StandardMerkleTree } = require("@openzeppelin/merkle-tree");

const encoding = ["address", "uint256"];
const text = readFileSync(dumpFile, "utf8");
const { root, proofs } = JSON.parse(readFileSync(proofsFile, "utf8"));

const tree = StandardMerkleTree.load(JSON.parse(text));
tree.validate();
assert.equal(tree.root, root);
assert.equal(tree.length, proofs.length);

const values = [];
for (const [i, value] of tree.entries()) {
  assert.deepEqual(tree.getProof(i), proofs[i]);
  assert.ok(StandardMerkleTree.verify(root, encoding, value, proofs[i]));
  const more = [value[0], (BigInt(value[1]) + 1n).toString()];
  assert.ok(!StandardMerkleTree.verify(root, encoding, more, proofs[i]));
  values.push(value);
}
assert.equal(JSON.stringify(StandardMerkleTree.of(values, encoding).dump()), text);
console.log(`${tree.length} values hold`);
