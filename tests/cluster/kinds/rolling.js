// All nodes are started anew, one after the other, with everybody there: nobody who stays is seen to leave, and sessions of ours notice nothing: they go to
// the other nodes.

import { startProxyProgram } from "../../clients/support/proxies.js";
import { pause, within } from "../../clients/support/wait.js";
import { startCluster } from "../support/cluster.js";
import { watchConnects } from "../support/connects.js";
import { startPeople } from "../support/people.js";

/** People in a room: each hears of each. */
const ROOM = 25;

/** For how long connections that come to the other nodes are counted at a time. */
const WINDOW_MS = 2_000;

/** How long a node may take to go, and everybody to be back: what is slow here is the machine. */
const PATIENCE_MS = 120_000;

/** So many stock clients and so many of ours are there while each node is started anew. */
export async function rollingTrial(engine, { stock, resumable, calmMs }) {
  const cluster = await startCluster(engine);
  const balancer = await startProxyProgram("nginx-cluster", cluster.nodes.map(({ port }) => port));
  const people = await startPeople(`ws://127.0.0.1:${balancer.port}/socket`, roomsOf({ stock, resumable }));
  try {
    await people.come();
    await people.seeEachOther();
    await people.begin();
    const restarts = [];
    for (const node of [...cluster.nodes]) {
      const from = Date.now();
      const connects = watchConnects(cluster.nodes.filter((other) => other !== node), WINDOW_MS);
      await within(`${node.name} is started anew`, cluster.restart(node), PATIENCE_MS);
      await within("the nodes meet", cluster.meet(), PATIENCE_MS);
      await people.seeEachOther();
      restarts.push({ from, to: Date.now(), connects: await connects.most() });
      await pause(calmMs);
    }
    await people.end();
    const records = await people.records();
    return { did: countsOf(records, restarts), faults: faultsOf(records, stock) };
  } finally {
    await people.leave();
    await balancer.stop();
    await cluster.stop();
  }
}

/** The stock clients come first: of most rooms all are of one kind. */
function roomsOf({ stock, resumable }) {
  const people = Array.from({ length: stock + resumable }, (_, n) => ({ n, isOurs: n >= stock }));
  const count = Math.ceil(people.length / ROOM);
  return Array.from({ length: count }, (_, room) => ({ name: `rolling-${room}`, people: people.slice(room * ROOM, (room + 1) * ROOM) }));
}

const sum = (records, what) => records.reduce((sum, record) => sum + what(record), 0);
const oursOf = (records) => records.filter(({ isOurs }) => isOurs);

function countsOf(records, restarts) {
  const ours = oursOf(records);
  // What is said between two restarts takes a millisecond.
  const isMeanwhile = ({ at }) => restarts.some(({ from, to }) => from <= at && at <= to);
  const late = ours.flatMap(({ heard }) => heard.filter(isMeanwhile).map(({ ms }) => ms)).sort((a, b) => a - b);
  return {
    people: records.length,
    connects_in_2_s: restarts.map(({ connects }) => connects).join(" "),
    restarts_ms: restarts.map(({ from, to }) => to - from).join(" "),
    rejoins: sum(records, ({ rejoins }) => rejoins),
    away_ms: Math.round(Math.max(...records.map(({ awayMs }) => awayMs))),
    leaves: sum(records, ({ leaves }) => leaves.length),
    rejoins_of_ours: sum(ours, ({ rejoins }) => rejoins),
    heard_by_ours: sum(ours, ({ heard }) => heard.length),
    late_ms_p50_p99_max: [0.5, 0.99, 1].map((part) => percentile(late, part)).join(" "),
  };
}

function faultsOf(records, stock) {
  const ours = oursOf(records);
  const faults = [];
  for (const { user, heard } of ours) {
    const wrong = heard.findIndex(({ n }, at) => n !== at + 1);
    if (wrong >= 0) faults.push(`${user} heard ${heard[wrong].n} in the place of ${wrong + 1}`);
  }
  const rejoined = sum(ours, ({ rejoins }) => rejoins);
  if (rejoined > 0) faults.push(`${rejoined} of ours joined anew`);
  const seer = records.find(({ leaves }) => leaves.length > 0);
  if (seer) faults.push(`${sum(records, ({ leaves }) => leaves.length)} were seen to leave, ${seer.leaves[0]} by ${seer.user}`);
  const all = sum(records, ({ rejoins }) => rejoins);
  if (all < stock) faults.push(`of ${stock} stock clients ${all} joined anew: not all nodes had some`);
  return faults;
}

/** Of values in order. */
function percentile(sorted, part) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}
