// Clusters under load and faults at full size, as a table. See scripts/cluster-load.

import { loadavg } from "node:os";
import { FULL, SHORT, kinds } from "./kinds/index.js";
import { engines } from "./support/engine.js";

const scale = process.env.SCALE === "short" ? SHORT : FULL;
const words = process.argv.slice(2);
const chosenEngines = engines.filter((engine) => words.includes(engine));
const names = words.filter((word) => !engines.includes(word));

let failed = 0;
for (const engine of chosenEngines.length > 0 ? chosenEngines : engines) {
  console.log(`\n| ${engine} | seen | p50, p99 here and elsewhere in ms | | load |\n|---|---|---|---|---|`);
  for (const kind of kinds.filter(({ name, engines: able = engines }) => able.includes(engine) && (names.length === 0 || names.includes(name)))) {
    console.log(await line(engine, kind));
  }
}
process.exit(failed === 0 ? 0 : 1);

async function line(engine, { group, name, run }) {
  try {
    const { result, did, faults } = await run(engine, scale);
    failed += faults.length;
    return `| ${group}, ${name} | ${[result && counts(result), facts(did)].filter(Boolean).join(", ")} | ${result ? times(result) : ""} | ${faults.join("; ") || "as it should be"} | ${load()} |`;
  } catch (error) {
    failed += 1;
    return `| ${group}, ${name} | | | failed: ${error.message}${error.cause ? `: ${error.cause.message}` : ""} | ${load()} |`;
  }
}

function counts({ sent, received, lost, told, causes, doubled, disordered }) {
  return `${sent} said, ${received} heard, ${lost} lost, ${told} lost and told${causes && ` (${causes})`}, ${doubled} doubled, ${disordered} out of order`;
}

function facts(did) {
  return Object.entries(did).map(([name, value]) => `${name} ${value}`).join(", ");
}

function times({ local, remote }) {
  return `${local.p50}, ${local.p99} · ${remote.p50}, ${remote.p99}`;
}

/** Of the machine in the last minute: how long something took says nothing without it. */
function load() {
  return loadavg()[0].toFixed(1);
}
