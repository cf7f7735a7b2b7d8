// What a node asks of the others: the connections of a user are ended wherever they are.

import { pause, until, within } from "../../clients/support/wait.js";
import { connect } from "../support/client.js";
import { startCluster } from "../support/cluster.js";
import { Times } from "../support/times.js";

const KEY = "the-key-of-the-tests-0123456789";

/** A user after the other is sent away by a node that has none of their connections; then one while the engine is away. */
export async function disconnectTrial(engine, { users, slack_ms }) {
  const cluster = await startCluster(engine, 3, { env: { API_KEY: KEY } });
  const [one, two, three] = cluster.nodes;
  const times = new Times();
  const clients = [];
  const come = async (node, user) => {
    const client = await connect(node, { user });
    clients.push(client);
    await client.join("room:1");
    return client;
  };
  try {
    for (let n = 0; n < users; n += 1) {
      const theirs = [await come(two, `user-${n}`), await come(three, `user-${n}`)];
      const began = performance.now();
      await disconnect(one, `user-${n}`);
      await within("their end", Promise.all(theirs.map(({ gone }) => gone)));
      times.add(performance.now() - began);
    }
    const { p50, p99, max } = times.summary();
    const did = { users, p50_ms: p50, p99_ms: p99, max_ms: max };
    const late = await come(three, "late");
    await cluster.engine.kill();
    await until("it is missed", async () => !(await one.stats()).cluster.engine.up);
    const asked = disconnect(one, "late");
    await pause(1_000);
    await cluster.engine.begin();
    await Promise.all(cluster.nodes.map((node) => until(`${node.name} is ready`, () => node.isReady())));
    const began = performance.now();
    did.missing = (await asked).missing.join(" ");
    did.late_ms = Math.max(0, Math.round(performance.now() - began));
    if (did.missing === "") await until("it is gone", () => late.closed !== undefined);
    const faults = [
      did.p99_ms > 100 + slack_ms && `it took ${did.p99_ms} ms`,
      did.missing === "" && did.late_ms > 1_000 + slack_ms && `after an outage it took ${did.late_ms} ms`,
      did.missing !== "" && !did.missing.includes(three.name) && `${did.missing} did not answer, and ${three.name} did nothing`,
    ];
    return { did, faults: faults.filter(Boolean) };
  } finally {
    clients.forEach((client) => client.close());
    await cluster.stop();
  }
}

/** Has a node end all connections of a user, and returns its answer. */
async function disconnect(node, user) {
  const headers = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
  const answer = await fetch(`http://${node.address}/api/disconnect`, { method: "POST", headers, body: JSON.stringify({ id: `user:${user}` }) });
  const body = await answer.json();
  if (!answer.ok && !body.missing) throw new Error(`disconnect: ${answer.status} ${JSON.stringify(body)}`);
  return body;
}
