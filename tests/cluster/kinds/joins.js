// Joins to topics that are new to their node, and a broadcast of another node when the answer is there.

import { until } from "../../clients/support/wait.js";
import { connect } from "../support/client.js";
import { startCluster } from "../support/cluster.js";

/** Joins that are under way at a time. */
const AT_ONCE = 100;

/** What is published when the answer is there arrives, though the way of the joins' node to the engine is slow. */
export async function joinTrial(engine, { joins, delayMs }) {
  // A channel of the engine for each topic, so that each join is the first of its.
  const cluster = await startCluster(engine, 2, { env: { SPREAD: "topics" } });
  const [publisher, node] = cluster.nodes;
  const clients = [];
  try {
    const speaker = await connect(publisher);
    await speaker.join("room:publishers");
    clients.push(speaker);
    await node.tap.delay(delayMs);
    const missing = new Set();
    const join = async (client, n) => {
      const topic = `room:new-${n}`;
      missing.add(String(n));
      await client.join(topic);
      speaker.say("room:publishers", "tell", { topic, payload: { n } });
    };
    for (let from = 0; from < joins; from += AT_ONCE) {
      const client = await connect(node);
      clients.push(client);
      client.hear = (text) => {
        const [, n] = /"shout",\{"n":(\d+)\}/.exec(text) ?? [];
        missing.delete(n);
      };
      await Promise.all(Array.from({ length: Math.min(AT_ONCE, joins - from) }, (_, n) => join(client, from + n)));
    }
    await until("the last ones are there", () => missing.size === 0, 5_000).catch(() => {});
    const { engine: counts } = (await node.stats()).cluster;
    const did = { joins, missed: missing.size, repaired: counts.repaired };
    return { did, faults: missing.size > 0 ? [`${missing.size} of ${joins} joins missed a broadcast`] : [] };
  } finally {
    clients.forEach((client) => client.close());
    await cluster.stop();
  }
}
