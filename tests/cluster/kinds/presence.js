// Who is present on a node that dies, stands still or is cut off.

import { pause, until } from "../../clients/support/wait.js";
import { HOURS_OFF, HOURS_OFF_S, secondsApart } from "../support/clock.js";
import { startCluster } from "../support/cluster.js";
import { come, watch } from "../support/present.js";

/** Runs a kind on an engine: people on the third node, a watcher on each. */
export async function presenceTrial(engine, kind, scale) {
  const cluster = await startCluster(engine, 3, { clocks: kind.clocks });
  const { nodes } = cluster;
  const clients = [];
  try {
    clients.push(...(await come(nodes[2], scale.present)));
    const watchers = await Promise.all(nodes.map(watch));
    clients.push(...watchers.map(({ client }) => client));
    const [one, two, own] = watchers;
    for (const watcher of watchers) await until("everybody is seen", () => watcher.count(nodes[2]) === scale.present, PATIENCE_MS);
    // The watchers themselves, too.
    await pause(1_000);
    watchers.forEach((watcher) => watcher.reset());
    const did = {};
    const faults = (await kind.run({ cluster, node: nodes[2], others: [one, two], own, did, ...scale })) ?? [];
    return { did, faults };
  } finally {
    clients.forEach((client) => client.close());
    await cluster.stop();
  }
}

/** As long as a machine with much else to do needs for eight beats, again and again. */
const PATIENCE_MS = 120_000;

/** How long until all others see so many of a node. */
async function seconds(others, node, count) {
  const began = performance.now();
  for (const watcher of others) await until(`${count} of ${node.name} are seen`, () => watcher.count(node) === count, PATIENCE_MS);
  return Number(((performance.now() - began) / 1_000).toFixed(2));
}

/** Eight beats, with what a busy machine adds. */
const GONE_S = 5;

export const presence = [
  {
    name: "node killed",
    what: "a node is killed with everybody on it",
    run: kill,
  },
  {
    name: "node killed, clocks off",
    what: "a node is killed with everybody on it, and the others' clocks are hours apart",
    clocks: HOURS_OFF,
    inShort: ["nats"],
    async run(trial) {
      const { cluster, others, did } = trial;
      did.apart_s = await secondsApart(cluster.nodes);
      did.leaves = others.reduce((sum, { leaves }) => sum + leaves, 0);
      return [
        did.apart_s < HOURS_OFF_S && `their clocks are ${did.apart_s} s apart`,
        did.leaves > 0 && `${did.leaves} were seen to leave that live`,
        ...(await kill(trial)),
      ].filter(Boolean);
    },
  },
  {
    name: "node paused",
    what: "a node stands still for ten seconds",
    inShort: ["redis"],
    async run({ node, others, own, present, did, pauseMs, slack_ms }) {
      node.signal("SIGSTOP");
      const paused = pause(pauseMs);
      did.gone_s = await seconds(others, node, 0);
      await paused;
      node.signal("SIGCONT");
      did.back_s = await seconds(others, node, present);
      return verdict({ own, did }, slack_ms);
    },
  },
  {
    name: "netsplit",
    what: "a node has no way to the engine for ten seconds",
    async run({ node, others, own, present, did, pauseMs, slack_ms }) {
      node.tap.down();
      const split = pause(pauseMs);
      did.gone_s = await seconds(others, node, 0);
      await split;
      node.tap.up();
      // The next attempt to connect is less than a second away.
      did.back_s = await seconds(others, node, present);
      return verdict({ own, did }, slack_ms + 2_000);
    },
  },
  {
    name: "flapping",
    what: "a node's way to the engine comes and goes each second",
    // A node that takes half a second to connect is not seen for longer than eight beats.
    inShort: [],
    async run({ node, others, own, did, flaps }) {
      for (let n = 0; n < flaps; n += 1) {
        node.tap.down();
        await pause(1_000);
        node.tap.up();
        await pause(1_000);
      }
      did.leaves = others.reduce((sum, { leaves }) => sum + leaves, 0) + own.leaves;
      return did.leaves > 0 ? [`${did.leaves} were seen to leave`] : [];
    },
  },
];

async function kill({ cluster, node, others, did, zombieMs, slack_ms }) {
  await cluster.remove(node);
  did.gone_s = await seconds(others, node, 0);
  did.diffs = Math.max(...others.map(({ diffs }) => diffs));
  await pause(zombieMs);
  const late = await watch(cluster.nodes[0]);
  await until("the list is there", () => late.isSynced);
  did.zombies = late.count(node) + others.reduce((sum, watcher) => sum + watcher.count(node), 0);
  late.client.close();
  return [
    did.gone_s > GONE_S + slack_ms / 1_000 && `they were gone after ${did.gone_s} s`,
    did.diffs > 20 && `it took ${did.diffs} diffs`,
    did.zombies > 0 && `${did.zombies} came back`,
  ].filter(Boolean);
}

function verdict({ own, did }, slack_ms) {
  return [
    did.gone_s > GONE_S + slack_ms / 1_000 && `they were gone after ${did.gone_s} s`,
    did.back_s > 2 + slack_ms / 1_000 && `they were back after ${did.back_s} s`,
    own.leaves > 0 && `the node told its own clients that ${own.leaves} left`,
  ].filter(Boolean);
}
