// The hostile networks before three nodes: each request comes to the next of them, by way of an nginx, and then through the network. In short a
// few of its behaviours; scripts/hostile-cluster has all.

import { after, before, describe } from "node:test";
import { nodeWorld } from "../clients/hostile/world.js";
import { suite } from "../clients/hostile/suite.js";
import { startProxyProgram } from "../clients/support/proxies.js";
import { startCluster } from "./support/cluster.js";
import { engines } from "./support/engine.js";

const { HOSTILE = "short", ENGINES = engines.join(" ") } = process.env;

/** Those in which a session is looked for at every node again and again, on each transport. */
const only = [
  "connections are killed after 300 ms",
  "the network is away for 1 s",
  "one request at a time, no WebSocket",
  "a third of the replies to POSTs is dropped",
  "event streams are mute",
  "half-open under long-poll",
];

for (const engine of ENGINES.split(" ")) {
  describe(`three nodes on ${engine}`, () => {
    let cluster, balancer;
    before(async () => {
      cluster = await startCluster(engine);
      balancer = await startProxyProgram("nginx-cluster", cluster.nodes.map(({ port }) => port));
    });
    after(async () => {
      await balancer?.stop();
      await cluster?.stop();
    });
    suite(`three nodes on ${engine}`, () => nodeWorld({ port: balancer.port }), HOSTILE === "all" ? {} : { only });
  });
}
