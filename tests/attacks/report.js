// All attacks at full size, as a table. See scripts/attacks.

import { kinds } from "./kinds/index.js";
import { MB } from "./memory.js";
import { attackWith, faultsOf } from "./trial.js";

const TIMES = {
  alone_ms: 3_000,
  ms: 20_000,
  // Longer than a join waits for the one before it.
  wait_ms: 8_000,
  // As long as the longest window of a session, and the sweep after it.
  patience_ms: 65_000,
};
const LIMITS = { floor_ms: 25, pings_min: 2_000 };

const names = process.argv.slice(2);
const chosen = kinds.filter(({ name }) => names.length === 0 || names.includes(name));
const trials = [];
for (const kind of chosen) {
  console.log(`${kind.name}: ${kind.what}`);
  const { result, gaveBack } = await attackWith(kind, { mount: "/socket_default", ...TIMES });
  console.log(`    ${JSON.stringify(result.did)}, ${result.count} pings, new clients: ${JSON.stringify(result.newcomers)}`);
  trials.push(gaveBack.then((after) => ({ result, after })));
}
const mb = (bytes) => (bytes / MB).toFixed(0);
console.log("\n| attack | RSS before, peak, after in MB | may hold, in MB | p99 alone, during, beside in ms | given back after |\n|---|---|---|---|---|");
let failed = 0;
for (const { result, after } of await Promise.all(trials)) {
  const { kind, base, peak, alone, p99, beside } = result;
  const ms = [alone, p99, beside].map((ms) => ms.toFixed(1)).join(" · ");
  const rss = [base, peak, after.rss].map(mb).join(" · ");
  console.log(`| ${kind.name} | ${rss} | ${mb(kind.bound.bytes)}: ${kind.bound.why} | ${ms} | ${after.seconds.toFixed(0)} s |`);
  for (const fault of faultsOf(result, after, LIMITS)) {
    console.error(`${kind.name}: ${fault}`);
    failed += 1;
  }
}
process.exit(failed === 0 ? 0 : 1);
