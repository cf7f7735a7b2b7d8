// What must not touch broadcasts: with each of these, every client has all of them once and in order.

import { pause } from "../../clients/support/wait.js";

/** After so long each node has said in a beat what it published last: what was not heard before may be told as a gap, and is not to be. */
const SETTLED_MS = 1_500;

/** Does something each `ms` for as long as the fan-out lasts. */
async function each(ms, { isOver }, deed) {
  while (!isOver()) {
    await deed();
    await pause(ms);
  }
}

/** `during` runs while the publishers publish; it may wait for `trial.half()`, when half of that is over. */
export const broadcasts = [
  {
    name: "nothing",
    what: "nothing happens",
    during: async () => {},
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
      const { cluster, isOver, publicationsCut } = trial;
      await pause(SETTLED_MS);
      let left = publicationsCut;
      await Promise.all(
        cluster.nodes.map(async ({ tap }) => {
          while (left > 0 && !isOver()) {
            left -= 1;
            await Promise.race([tap.cutNextPublication(), trial.over]);
            await pause(20);
          }
        }),
      );
      trial.did.cut = publicationsCut - left;
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
