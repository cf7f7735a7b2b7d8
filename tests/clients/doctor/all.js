// Puts the doctor behind all hostile behaviours, and writes what it found into docs/networks.md.
//
//     node tests/clients/doctor/all.js [NAME]     with a part of a name: only those, and nothing is written

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { launchChromium } from "../engines/chromium.js";
import { behaviours } from "../hostile/behaviours.js";
import { replaced } from "../hostile/table.js";
import { root, startTestbed } from "../support/testbed.js";
import { expected } from "./expected.js";
import { doctorTable } from "./table.js";
import { visit } from "./visit.js";

/** The doctor says so itself. */
const MS_MAX = 20_000;

const [part] = process.argv.slice(2);
const asked = behaviours.filter(({ name }) => !part || name.includes(part));
const testbed = await startTestbed({ env: { INSPECT_KEY: "a key that is long enough" } });
const browser = await launchChromium();
const rows = new Array(asked.length);
let next = 0;
await Promise.all([1, 2, 3].map(lane));
await browser.close();
await testbed.stop();

/** One visit after the other. */
async function lane() {
  while (next < asked.length) {
    const at = next;
    next += 1;
    rows[at] = await rowOf(asked[at]);
  }
}

async function rowOf(behaviour) {
  const { name } = behaviour;
  const { ids, seen, report } = await visit(browser, testbed, behaviour).catch((error) => ({ ids: [String(error)], seen: { ms: 0 }, report: "" }));
  const isRight = ids.join() === [...expected[name]].sort().join() && seen.ms <= MS_MAX;
  console.log(`${isRight ? "ok    " : "NOT OK"} ${name}: ${ids.join(", ") || "nothing"}, ${seen.ms} ms`);
  if (!isRight) console.log(report);
  return { name, found: ids, isRight, ms: seen.ms };
}

if (!part) {
  const path = join(root, "docs/networks.md");
  writeFileSync(path, replaced(readFileSync(path, "utf8"), "doctor", doctorTable(rows)));
}
