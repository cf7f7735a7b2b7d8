// The engine is away for longer than the nodes keep what they cannot say.

import { pause, until } from "../../clients/support/wait.js";
import { MB, resident } from "../../attacks/memory.js";
import { startCluster } from "../support/cluster.js";
import { startFanout } from "../support/fanout.js";
import { come, watch } from "../support/present.js";

/** What a node keeps, and what may come to it. */
const MEMORY_MAX = 4 * 1024 * 1024 + 10 * 1024 * 1024;

/**
 * Everything on one node goes on as before, nobody is seen to leave, memory is bounded; what is lost is told to each join once for each
 * node whose it was.
 */
export async function outageTrial(engine, { awayMs, present, slack_ms, gapsMax, ...scale }) {
  const cluster = await startCluster(engine);
  const { nodes } = cluster;
  let fanout;
  const clients = [];
  try {
    for (const node of nodes) clients.push(...(await come(node, present)));
    const watchers = await Promise.all(nodes.map(watch));
    clients.push(...watchers.map(({ client }) => client));
    for (const watcher of watchers) await until("everybody is seen", () => nodes.every((node) => watcher.count(node) === present));
    fanout = await startFanout(nodes, scale);
    fanout.start();
    await pause(scale.ms);
    const before = { local: fanout.local.summary(), rss: nodes.map(({ pid }) => resident(pid)) };
    watchers.forEach((watcher) => watcher.reset());
    fanout.forgetTimes();
    await cluster.engine.kill();
    await pause(awayMs);
    const grew = Math.max(...nodes.map(({ pid }, n) => resident(pid) - before.rss[n]));
    const during = fanout.local.summary();
    const said = await Promise.all(nodes.map((node) => node.isReady()));
    await cluster.engine.begin();
    await cluster.meet();
    await pause(scale.ms);
    const result = await fanout.finish();
    const did = { p99_before: before.local.p99, p99_during: during.p99, grew_mb: Number((grew / MB).toFixed(1)), gaps_of_a_node: fanout.mostGapsOfANode() };
    const faults = [];
    if (result.lost + result.doubled + result.disordered > 0) faults.push(`not told: ${JSON.stringify(result)}`);
    // Hundreds of kilobytes that come at once may be more than a slow node holds back.
    if (did.gaps_of_a_node > gapsMax) faults.push(`a join was told ${did.gaps_of_a_node} gaps of one node`);
    if (grew > MEMORY_MAX) faults.push(`a node grew by ${did.grew_mb} MB`);
    if (during.p99 > Math.max(2 * before.local.p99, before.local.p99 + slack_ms)) faults.push(`the local p99 went from ${before.local.p99} to ${during.p99} ms`);
    if (said.includes(true)) faults.push("a node without an engine said that it was ready");
    if (result.closed + clients.filter(({ closed }) => closed !== undefined).length > 0) faults.push("clients were closed");
    const diffs = watchers.reduce((sum, watcher) => sum + watcher.diffs, 0);
    if (diffs > 0) faults.push(`${diffs} presence diffs came`);
    return { result, did, faults };
  } finally {
    fanout?.stop();
    clients.forEach((client) => client.close());
    await cluster.stop();
  }
}
