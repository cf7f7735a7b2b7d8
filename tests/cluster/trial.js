// One trial of a kind: a cluster of three nodes, clients and publishers, and what happens to them.

import { pause } from "../clients/support/wait.js";
import { startCluster } from "./support/cluster.js";
import { startFanout } from "./support/fanout.js";
import { cpuOf } from "./support/process.js";

/** Runs a kind of `broadcasts` on an engine. Returns what was seen, and what of it must not be. */
export async function broadcastTrial(engine, kind, scale) {
  const cluster = await startCluster(engine, 3, { env: kind.env, clocks: kind.clocks, engine: await kind.engine?.(engine) });
  let fanout;
  try {
    fanout = await startFanout(cluster.nodes, scale);
    const { over, isOver, half } = timesOf(scale.ms);
    const trial = { cluster, fanout, did: {}, over, isOver, half, ...scale };
    const usage = usageOf(cluster);
    fanout.start();
    await Promise.all([over, kind.during(trial)]);
    // What a forger has made of it is not waited for.
    const result = await fanout.finish(kind.mayForge ? { patienceMs: 5_000 } : {});
    Object.assign(trial.did, usage(result), await countsOf(cluster));
    return { result, did: trial.did, faults: [...faultsOf(kind, result), ...(kind.faults?.(trial, scale) ?? [])] };
  } finally {
    fanout?.stop();
    await cluster.stop();
  }
}

function timesOf(ms) {
  let isOver = false;
  const over = pause(ms).then(() => (isOver = true));
  const middle = pause(ms / 2);
  return { over, isOver: () => isOver, half: () => middle };
}

/** What the nodes counted. */
async function countsOf({ nodes }) {
  const stats = await Promise.all(nodes.map((node) => node.stats()));
  const sum = (field) => stats.reduce((sum, { cluster }) => sum + cluster.engine[field], 0);
  return { repaired: sum("repaired"), kept: sum("kept_for_later"), connects: sum("connects") };
}

/** Microseconds of processor time that a message took, at the nodes for each delivery and at the engine for each broadcast. */
function usageOf({ nodes, engine }) {
  const before = { nodes: nodes.map(({ pid }) => cpuOf(pid)), engine: cpuOf(engine.pid), pid: engine.pid };
  return ({ received, sent }) => {
    const spent = nodes.reduce((sum, { pid }, n) => sum + cpuOf(pid) - before.nodes[n], 0);
    // An engine that was started again has counted anew.
    const ofEngine = cpuOf(engine.pid) - (engine.pid === before.pid ? before.engine : 0);
    const ofNodes = { cpu_us_per_delivery: round(spent / received) };
    // One that was to end may have ended by now.
    return Number.isNaN(ofEngine) ? ofNodes : { ...ofNodes, engine_us_per_broadcast: round(ofEngine / sent) };
  };
}

const round = (number) => Number(number.toFixed(2));

/** Of the broadcasts. */
function faultsOf(kind, result) {
  const faults = [];
  if (kind.mayForge) return result.closed > 0 ? [`${result.closed} clients were closed`] : [];
  if (result.lost > 0) faults.push(`${result.lost} broadcasts were lost in silence`);
  if (result.told > 0 && !kind.mayTell) faults.push(`${result.told} broadcasts were lost, and that was told`);
  if (result.doubled > 0) faults.push(`${result.doubled} broadcasts were doubled`);
  if (result.disordered > 0) faults.push(`${result.disordered} broadcasts came behind later ones`);
  if (result.closed > 0) faults.push(`${result.closed} clients were closed`);
  return faults;
}
