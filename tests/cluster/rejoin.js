// A crowd that comes back to a kept topic over real sockets, each of which missed so much: what that costs a server beside as many who ask for nothing.
//
//     node tests/cluster/rejoin.js [clients, 10,000] [missed, 50]        see scripts/kept-figures

import { loadavg } from "node:os";
import { startTestbed } from "../clients/support/testbed.js";
import { until } from "../clients/support/wait.js";
import { connect } from "./support/client.js";
import { cpuOf } from "./support/process.js";

const [clients = 10_000, missed = 50] = process.argv.slice(2).map(Number);

/** Connections that are made at a time. */
const AT_ONCE = 50;

/** What is slow here is the machine. */
const PATIENCE_MS = 300_000;

const testbed = await startTestbed({ env: { KEEP: String(missed), RUST_LOG: "error" } });
const node = Object.assign(testbed, { name: "the server" });

/** So many join, each as `params` says, and hear `count` messages. Returns the server's microseconds for each, without those of its connection, and what was heard. */
async function crowd(topic, params, count) {
  const all = [];
  for (let at = 0; at < clients; at += AT_ONCE) {
    const some = Array.from({ length: Math.min(AT_ONCE, clients - at) }, () => connect(node));
    all.push(...(await Promise.all(some)));
  }
  const heard = new Uint32Array(all.length);
  const last = new Uint32Array(all.length);
  let wrong = 0;
  all.forEach((client, n) => {
    client.hear = (text) => {
      const said = /"shout",\{"n":(\d+)\}/.exec(text);
      if (!said) return;
      if (Number(said[1]) !== last[n] + 1) wrong += 1;
      last[n] = Number(said[1]);
      heard[n] += 1;
    };
  });
  const before = cpuOf(testbed.pid);
  const answers = await Promise.all(all.map((client) => client.ask(topic, "phx_join", params, PATIENCE_MS)));
  await until("all have all", () => heard.every((number) => number === count), PATIENCE_MS);
  const us = (cpuOf(testbed.pid) - before) / clients;
  all.forEach((client) => client.close());
  const recovered = answers.filter(({ response }) => response._recovered === true && response._replayed === count).length;
  return { us, recovered, wrong };
}

const speaker = await connect(node);
const { response } = await speaker.ask("kept:1", "phx_join", { _since: "" });
for (let n = 1; n <= missed; n += 1) speaker.say("kept:1", "shout", { n });
await speaker.ask("kept:1", "ping");
const back = await crowd("kept:1", { _since: response._at }, missed);
const fresh = await crowd("kept:2", {}, 0);
const load = loadavg()[0].toFixed(1);
console.log(`${clients} clients come back to ${missed} messages: ${back.recovered} recovered, ${back.wrong} messages out of order, doubled or lost, ${back.us.toFixed(1)} µs each`);
console.log(`as many that ask for nothing: ${fresh.us.toFixed(1)} µs each, load ${load}`);
speaker.close();
await testbed.stop();
process.exit(back.recovered === clients && back.wrong === 0 ? 0 : 1);
