// Lets jsonld expand a Croissant document without a network.
//
//   node expand.mjs TOOLS DOCUMENT
//
// TOOLS is the folder that holds node_modules. Every URL that the library asks
// for is refused. Exits 0 when the document expands, when each member that
// Croissant 1.1 requires is there under its full name, with the right kind of
// value, and when no member was lost: what a context does not define is dropped
// without a word.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import assert from "node:assert/strict";

const [tools, file] = process.argv.slice(2);
const require = createRequire(join(tools, "package.json"));
const jsonld = require("jsonld");

const document = JSON.parse(readFileSync(file, "utf8"));
const asked = [];
const documentLoader = (url) => {
  asked.push(url);
  throw new Error(`no network: ${url}`);
};
// safe: a member or a type that is lost in expansion is an error. The names of
// nodes are relative, so a base stands in for where the document lies.
const options = { documentLoader, base: "https://document.example/", safe: true };
const expanded = await jsonld.expand(document, options);
assert.deepEqual(asked, []);
assert.equal(expanded.length, 1);
const [dataset] = expanded;

const sc = "https://schema.org/", cr = "http://mlcommons.org/croissant/", rai = cr + "RAI/";
const prov = "http://www.w3.org/ns/prov#", odrl = "http://www.w3.org/ns/odrl/2/";
const values = (node, name) => (node[name] ?? []).map((v) => v["@value"] ?? v["@id"]);
assert.deepEqual(dataset["@type"], [sc + "Dataset"]);
const conforms = values(dataset, "http://purl.org/dc/terms/conformsTo");
assert.ok(conforms.includes("http://mlcommons.org/croissant/1.1"), `conformsTo ${conforms}`);
for (const name of ["name", "description", "url", "datePublished"]) {
  assert.equal(values(dataset, sc + name).length, 1, name);
  assert.equal(typeof values(dataset, sc + name)[0], "string", name);
}
for (const name of ["license", "creator", "distribution"]) {
  assert.ok((dataset[sc + name] ?? []).length > 0, name);
}
for (const who of dataset[sc + "creator"]) {
  assert.ok([sc + "Person", sc + "Organization"].includes(who["@type"][0]), who["@type"]);
  assert.equal(values(who, sc + "name").length, 1);
}
assert.match(values(dataset, sc + "sameAs")[0], /^ipfs:\/\/b/);

const nodes = new Set();
for (const f of dataset[sc + "distribution"]) {
  nodes.add(f["@id"]);
  if (f["@type"].includes(cr + "FileSet")) {
    assert.ok(values(f, cr + "includes").length > 0);
    assert.equal(f[cr + "containedIn"].length, 1);
    continue;
  }
  assert.deepEqual(f["@type"], [cr + "FileObject"]);
  assert.match(values(f, sc + "sha256")[0], /^[0-9a-f]{64}$/);
  assert.match(values(f, sc + "contentUrl")[0], /^https?:\/\//);
  assert.ok(values(f, sc + "encodingFormat").length > 0);
}
let fields = 0;
for (const r of dataset[cr + "recordSet"] ?? []) {
  assert.deepEqual(r["@type"], [cr + "RecordSet"]);
  for (const f of r[cr + "field"]) {
    fields++;
    const types = values(f, cr + "dataType");
    assert.ok(types.length > 0 && types.every((t) => t.startsWith(sc) || t.startsWith(cr)), `data types ${types}`);
    const [source] = f[cr + "source"];
    const from = (source[cr + "fileObject"] ?? source[cr + "fileSet"])[0]["@id"];
    assert.ok(nodes.has(from), `${from} is no file of the document`);
    assert.equal(source[cr + "extract"].length, 1);
  }
}
const quads = await jsonld.toRDF(document, { ...options, format: "application/n-quads" });
const count = (s) => quads.split(s).length - 1;
console.log(JSON.stringify({
  files: dataset[sc + "distribution"].length, records: (dataset[cr + "recordSet"] ?? []).length, fields,
  derived: count(`<${prov}wasDerivedFrom>`), generated: count(`<${prov}wasGeneratedBy>`), attributed: count(`<${prov}wasAttributedTo>`),
  permissions: count(`<${odrl}permission>`), prohibitions: count(`<${odrl}prohibition>`), obligations: count(`<${odrl}obligation>`),
  rai: Object.keys(dataset).filter((k) => k.startsWith(rai)).length,
}));
