// The stream in full: ten messages of 300 KB a second, for a minute. See scripts/pressure.

import { faultsOf, stream } from "./stream.js";

const SECONDS = Number(process.env.SECONDS ?? 60);
const PER_SECOND = 10;

const count = SECONDS * PER_SECOND;
const run = await stream({ count, bytes: 300_000, everyMs: 1_000 / PER_SECOND });
console.log("| way | messages | ends | joins | p99 | worst |\n|---|---|---|---|---|---|");
for (const { name, got, ends, joins, p99Ms, worstMs } of run.receivers) {
  console.log(`| ${name} | ${got} of ${count} | ${ends} | ${joins} | ${p99Ms} ms | ${worstMs} ms |`);
}
console.log(`\nThe last message was said ${run.lateMs} ms late. Sessions closed as too slow: ${run.slow.closed}.`);
const faults = faultsOf(run, count);
for (const fault of faults) console.error(fault);
process.exit(faults.length === 0 ? 0 : 1);
