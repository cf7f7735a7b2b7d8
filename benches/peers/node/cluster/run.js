// Measures the clusters in turns, and prints a table. See benches/peers/cluster.
//
//     node cluster/run.js [SERVER ...]

import { kinds } from "./servers.js";
import { notesOf, tableOf } from "./table.js";
import { trial } from "./trial.js";

// Those whom this process has started end with it.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130));

function fail(text) {
  console.error(text);
  process.exit(1);
}

function setting(name, preset) {
  const text = process.env[name] || preset;
  if (!/^[1-9]\d*$/.test(text)) fail(`${name} is ${text}: give a whole number from 1 on`);
  return Number(text);
}

const rounds = setting("ROUNDS", "3");
const load = { rate: setting("RATE", "300"), seconds: setting("FOR", "10") };
const chosen = process.argv.slice(2);
const unknown = chosen.find((name) => !kinds[name]);
if (unknown) fail(`no such server: ${unknown}; there are ${Object.keys(kinds).join("; ")}`);
// lapwing is always there, as the others are compared with it.
const names = Object.keys(kinds).filter((name) => name === "lapwing" || chosen.length === 0 || chosen.includes(name));

const lines = [];
// In turns, so that what else the machine does meets all of them.
for (let round = 1; round <= rounds; round += 1) {
  for (const cut of [false, true]) {
    for (const kind of names) {
      console.error(`round ${round} of ${rounds}: ${kind}${cut ? ", connections cut" : ""}`);
      try {
        lines.push({ kind, cut, report: await trial(kind, { ...load, cut }) });
      } catch (error) {
        // What stands in the way of one server is no reason to lose the figures of the others.
        lines.push({ kind, cut, report: null, error: error.message.replace(/\s+/g, " ") });
      }
      console.error(JSON.stringify(lines.at(-1)));
    }
  }
}
console.log(`${tableOf(lines)}\n\n${notesOf(lines)}`);
process.exit(lines.some(({ report }) => report === null) ? 1 : 0);
