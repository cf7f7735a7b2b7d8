// One attack on a server of its own, with honest clients there, and others at a second server that nobody attacks.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { startTestbed } from "../clients/support/testbed.js";
import { pause } from "../clients/support/wait.js";
import { honestClients, isLetIn } from "./honest.js";
import { MB, forgetPeak, peak, resident } from "./memory.js";

// jemalloc keeps what was freed for ten seconds, and gives it back only when it is called, unless it has a thread for that. Here it
// keeps it for less, so that RSS says what is held: buffers that grow leave their smaller predecessors.
process.env._RJEM_MALLOC_CONF ??= "background_thread:true,dirty_decay_ms:100,muzzy_decay_ms:0";
process.env.RUST_LOG ??= "off";
// A program that has once printed a backtrace keeps a hundred megabytes of its symbols mapped.
process.env.RUST_BACKTRACE = "0";
// Each server that is started listens for the end of this process.
process.setMaxListeners(100);

/**
 * What RSS may have beside what is held: the program's pages that are touched for the first time (10 MB), what lies in the allocator's
 * arenas and was just freed, and the rest of its size classes (an eighth, and what does not fit).
 */
const SLACK = { bytes: 64 * MB, share: 0.25 };

/** What may be left: code, tables with numbered places, and the allocator's own. */
const LEFT = 24 * MB;

/** Runs an attack. Returns what was seen, and a promise of when everything was given back. */
export async function attackWith(kind, { mount: usual, ms, wait_ms, patience_ms, alone_ms }) {
  const mount = kind.mount ?? usual;
  const servers = await Promise.all([startTestbed(), startTestbed()]);
  const [server] = servers;
  const stats = async () => JSON.parse(await server.fetch("/stats"));
  const honest = await honestClients(servers.map(({ port }) => ({ port, mount })));
  const { pid } = await stats();
  const [alone] = await honest.measure(pause(alone_ms));
  const base = resident(pid);
  forgetPeak(pid);
  const newcomers = { letIn: 0, refused: 0 };
  const attack = attacker(kind, server.port, mount, ms, wait_ms);
  const [attacked, beside] = await honest.measure(Promise.all([attack.done, visit({ port: server.port, mount }, attack, newcomers)]));
  const result = {
    kind,
    base,
    peak: peak(pid),
    alone: alone.p99,
    p99: attacked.p99,
    beside: beside.p99,
    count: Math.min(attacked.count, beside.count),
    newcomers,
    closed: honest.closed()[0],
    did: await attack.done,
  };
  const gaveBack = giveBack({ stats, pid, honest: honest.count, base, patience_ms }).finally(async () => {
    honest.stop();
    await Promise.all(servers.map((server) => server.stop("SIGKILL")));
  });
  return { result, gaveBack };
}

function attacker(kind, port, mount, ...times) {
  const program = fileURLToPath(new URL("attacker.js", import.meta.url));
  const args = [program, kind.name, port, mount, ...times].map(String);
  // It is another machine's work, which the server's need not wait for.
  const child = spawn("nice", ["-n", "19", process.execPath, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  process.once("exit", () => child.kill());
  let out = "";
  child.stdout.on("data", (text) => (out += text));
  const attack = { isOver: false };
  attack.done = once(child, "close").then(([code]) => {
    attack.isOver = true;
    if (code !== 0) throw new Error(`the attacker of ${kind.name} ended with ${code}`);
    return JSON.parse(out);
  });
  return attack;
}

/** Comes as a new client each second. */
async function visit(address, attack, newcomers) {
  while (!attack.isOver) {
    await Promise.race([pause(1_000), attack.done]);
    if (attack.isOver) return;
    if (await isLetIn(address)) newcomers.letIn += 1;
    else newcomers.refused += 1;
  }
}

/** Waits until nothing is left of the attacker. Returns the seconds that it took, and what there was at the end. */
async function giveBack({ stats, pid, honest, base, patience_ms }) {
  const began = Date.now();
  for (;;) {
    const { sessions, bytes_held, joins, presences } = await stats();
    const seen = { seconds: (Date.now() - began) / 1_000, sessions: sessions - honest, bytes_held, joins: joins - honest, presences, rss: resident(pid) };
    const isBack = seen.sessions === 0 && seen.joins === 0 && seen.presences === 0 && bytes_held === 0 && seen.rss <= base + LEFT;
    if (isBack || Date.now() - began > patience_ms) return { ...seen, isBack };
    await pause(200);
  }
}

/** What is not as it should be, in words. */
export function faultsOf(result, after, { floor_ms, pings_min }) {
  const { kind, base, peak, p99, beside, count, newcomers, closed } = result;
  const most = base + kind.bound.bytes * (1 + SLACK.share) + SLACK.bytes;
  const faults = [];
  const mb = (bytes) => `${(bytes / MB).toFixed(1)} MB`;
  if (peak > most) faults.push(`RSS rose from ${mb(base)} to ${mb(peak)}, beyond ${mb(most)}`);
  // Replies that come within the floor are not slow, whatever they are compared with: a worker and the kernel's scheduler each give
  // others their turn after some milliseconds only.
  if (p99 > Math.max(2 * beside, floor_ms, kind.late_ms ?? 0)) {
    faults.push(`an honest client's p99 was ${p99.toFixed(1)} ms, and ${beside.toFixed(1)} ms at a server beside it`);
  }
  if (count < pings_min) faults.push(`${count} pings are too few to tell`);
  if (closed.length > 0) faults.push(`honest clients were closed with ${closed.join(", ")}`);
  if (newcomers.refused > 0 && !kind.mayRefuse) faults.push(`${newcomers.refused} new clients were not let in`);
  if (!after.isBack) faults.push(`not given back: ${JSON.stringify(after)}`);
  return faults;
}
