// Writes what the runs have seen into docs/networks.md and the README.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../support/testbed.js";
import { behaviours } from "./behaviours.js";
import { resultsPath } from "./results.js";
import { comparison, networks, replaced, summary } from "./table.js";

const platforms = [
  { name: "Node", results: resultsOf("node") },
  { name: "Chromium", results: resultsOf("chromium") },
];
const compared = resultsOf("comparison");
/** What most have seen for themselves; docs/networks.md has all. */
const familiar = compared.filter((_, at) => at % 2 === 0);

write("docs/networks.md", { networks: networks(behaviours, platforms), comparison: comparison(compared) });
write("README.md", { networks: summary(behaviours, platforms), comparison: comparison(familiar) });

function resultsOf(name) {
  const path = resultsPath(name);
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new Error(`${path} cannot be read: run \`scripts/guarantees\` without \`--table\` first`, { cause: error });
  }
}

function write(file, sections) {
  const path = join(root, file);
  const text = Object.entries(sections).reduce((text, [name, section]) => replaced(text, name, section), readFileSync(path, "utf8"));
  writeFileSync(path, text);
}
