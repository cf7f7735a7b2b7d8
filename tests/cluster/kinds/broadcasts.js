// What must not touch broadcasts: with each of these, every client has all of them once and in order.

import { pause, until, within } from "../../clients/support/wait.js";
import { MB, resident } from "../../attacks/memory.js";
import { connect } from "../support/client.js";
import { HOURS_OFF, HOURS_OFF_S, secondsApart } from "../support/clock.js";
import { natsCluster } from "../support/engine.js";
import { startForger } from "../support/forger.js";

/** After so long each node has said in a beat what it published last: what was not heard before may be told as a gap, and is not to be. */
const SETTLED_MS = 1_500;

/** Does something each `ms` for as long as the fan-out lasts. */
async function each(ms, { isOver }, deed) {
  while (!isOver()) {
    await deed();
    await pause(ms);
  }
}

const BULK = "room:bulk";

/** More than the kernel, and any engine, takes for a node that does not read. */
const BULK_MB = 60;

/** How engines are made to cut off who is slow, and say that they did. */
const slowConsumers = {
  redis: { options: { args: ["--client-output-buffer-limit", "pubsub", "256kb", "128kb", "1"] }, word: "overcoming of output buffer limits" },
  // It takes no less than its largest message.
  nats: { options: { config: 'max_pending: 1048576\nwrite_deadline: "1s"\n' }, word: "Slow Consumer" },
};

/** What waits for a program, what is kept for other nodes, and what an allocator does not give back at once. */
const GREW_MB_MAX = 64;

const connects = ({ nodes }) => Promise.all(nodes.map(async (node) => (await node.stats()).cluster.engine.connects));

/** Of the node that found the fewest. */
async function unreadable({ nodes }) {
  const stats = await Promise.all(nodes.map((node) => node.stats()));
  return Math.min(...stats.map(({ cluster }) => cluster.engine.unreadable));
}

/** `during` runs while the publishers publish; it may wait for `trial.half()`, when half of that is over. */
export const broadcasts = [
  {
    name: "nothing",
    what: "nothing happens",
    during: async () => {},
  },
  {
    name: "clocks off",
    what: "the nodes' clocks are hours apart",
    clocks: HOURS_OFF,
    inShort: ["redis"],
    async during({ cluster, did }) {
      did.apart_s = await secondsApart(cluster.nodes);
    },
    faults: ({ did }) => (did.apart_s < HOURS_OFF_S ? [`their clocks are ${did.apart_s} s apart`] : []),
  },
  {
    name: "engine killed",
    what: "the engine is killed, and started again after a second, without its data",
    async during({ cluster, half }) {
      await half();
      await cluster.engine.kill();
      await pause(1_000);
      await cluster.engine.begin();
    },
  },
  {
    name: "engine stops",
    what: "the engine stands still for two seconds",
    async during({ cluster, half }) {
      await half();
      cluster.engine.signal("SIGSTOP");
      await pause(2_000);
      cluster.engine.signal("SIGCONT");
    },
  },
  {
    name: "subscribers cut",
    what: "subscribers are cut each half second",
    async during(trial) {
      const { engine, nodes } = trial.cluster;
      await pause(SETTLED_MS);
      if (engine.kind !== "redis") return each(500, trial, () => nodes.forEach(({ tap }) => tap.cut()));
      const commands = engine.commands();
      await each(500, trial, () => commands.say("CLIENT", "KILL", "TYPE", "pubsub"));
      commands.end();
    },
  },
  {
    name: "publications cut",
    what: "connections are cut between publications and their answers",
    async during(trial) {
      const { cluster, publicationsCut, ms } = trial;
      await pause(SETTLED_MS);
      // One after the other at each node, in all of the time in which something is published.
      const paceMs = ((ms - 2 * SETTLED_MS) * cluster.nodes.length) / publicationsCut;
      const began = performance.now();
      let left = publicationsCut;
      await Promise.all(
        cluster.nodes.map(async ({ tap }) => {
          for (let due = began; left > 0; due += paceMs) {
            left -= 1;
            await within("a publication to cut", tap.cutNextPublication());
            await pause(Math.max(20, due + paceMs - performance.now()));
          }
        }),
      );
      trial.did.cut_s = Math.round((performance.now() - began) / 1_000);
      trial.did.cut = publicationsCut;
    },
  },
  ...["toEngine", "toNode"].map((direction) => ({
    name: `half-open ${direction}`,
    what: `a node's connections look open, and pass nothing ${direction === "toEngine" ? "to the engine" : "to the node"}`,
    async during({ cluster, half, did }) {
      await half();
      const [node] = cluster.nodes;
      const before = (await node.stats()).cluster.engine.connects;
      const began = performance.now();
      node.tap.swallow(direction);
      for (;;) {
        const { engine } = (await node.stats()).cluster;
        if (engine.connects > before && engine.up) break;
        await pause(20);
      }
      did.back_ms = Math.round(performance.now() - began);
    },
    /** Five echoes of half a second each do not come back; then it connects. */
    faults: ({ did }, { slack_ms }) => (did.back_ms > 4_000 + slack_ms ? [`it took ${did.back_ms} ms to connect anew`] : []),
  })),
  {
    name: "slow consumer",
    what: "a node reads nothing, and the engine cuts it off for what waits",
    engine: (kind) => slowConsumers[kind].options,
    async during({ cluster, half }) {
      const [speaker, , node] = cluster.nodes;
      const listener = await connect(node);
      await listener.join(BULK);
      const client = await connect(speaker);
      await client.join("room:publishers");
      const forger = await startForger(cluster.engine, cluster.app);
      const where = await until("the channel of the bulk is seen", () => {
        client.say("room:publishers", "tell", { topic: BULK, payload: {} });
        return forger.channelOf(BULK);
      });
      // Or it would be cut off itself.
      await forger.deafen();
      await half();
      // Before the node gives it up by itself, as nothing comes back.
      node.tap.stall();
      const { word } = slowConsumers[cluster.engine.kind];
      await forger.fill(where, 100_000, BULK_MB * 10);
      await until("the engine cuts it off", () => cluster.engine.log.includes(word));
      await until("it is there again", () => node.isReady());
      await forger.stop();
      client.close();
      listener.close();
    },
  },
  {
    name: "lame duck",
    what: "the server is about to end, and the nodes go to another one",
    engines: ["nats"],
    engine: natsCluster,
    async during({ cluster, half, did }) {
      await cluster.engine.addServer();
      await half();
      const before = await connects(cluster);
      cluster.engine.signal("SIGUSR2");
      await until("all nodes have left", async () => (await connects(cluster)).every((count, n) => count > before[n]));
      const stats = await Promise.all(cluster.nodes.map((node) => node.stats()));
      did.left = stats.filter(({ cluster }) => cluster.engine.last_error?.includes("about to end")).length;
    },
    faults: ({ did, cluster }) => (did.left === cluster.nodes.length ? [] : [`${did.left} nodes left when they were told to`]),
  },
  ...[true, false].map((isSealed) => ({
    name: isSealed ? "forged" : "forged without a secret",
    what: `somebody says what the nodes say with something changed, on all channels${isSealed ? "" : ", and the nodes have no secret"}`,
    // Without a secret some of it is as good as what nodes say, and how long they believe it is up to chance.
    mayForge: !isSealed,
    inShort: isSealed ? undefined : [],
    env: isSealed ? { SECRET: "0123456789abcdef" } : {},
    async during({ cluster, did, forged, over }) {
      await pause(SETTLED_MS);
      const forger = await startForger(cluster.engine, cluster.app);
      const before = cluster.nodes.map(({ pid }) => resident(pid));
      await forger.say(forged);
      await forger.stop();
      did.grew_mb = Math.max(...cluster.nodes.map(({ pid }, n) => Number(((resident(pid) - before[n]) / MB).toFixed(1))));
      await over;
      await until("what was said is heard", async () => (did.unreadable = await unreadable(cluster)) >= forged / 2 || !isSealed);
      // Whoever was said to be there is not, and those who were said to be gone are.
      await cluster.meet();
    },
    faults: ({ did }) => (did.grew_mb > GREW_MB_MAX ? [`a node grew by ${did.grew_mb} MB`] : []),
  })),
  {
    name: "node paused",
    what: "a node stands still for ten seconds, and is slow for the engine",
    mayTell: true,
    async during({ cluster, half, pauseMs }) {
      await half();
      const node = cluster.nodes[2];
      node.signal("SIGSTOP");
      await pause(pauseMs);
      node.signal("SIGCONT");
    },
  },
  {
    name: "netsplit",
    what: "a node has no way to the engine for ten seconds",
    inShort: ["nats"],
    mayTell: true,
    async during({ cluster, half, pauseMs }) {
      await half();
      const { tap } = cluster.nodes[2];
      tap.down();
      await pause(pauseMs);
      tap.up();
    },
  },
];
