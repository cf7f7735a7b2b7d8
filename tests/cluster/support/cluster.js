// Testbeds that are the nodes of one cluster.

import { startTestbed } from "../../clients/support/testbed.js";
import { until } from "../../clients/support/wait.js";
import { clockEnv } from "./clock.js";
import { startEngine } from "./engine.js";
import { startTap } from "./tap.js";

process.setMaxListeners(200);

let apps = 0;

/** Starts an engine and so many nodes, each with a tap of its own before the engine. `clocks` says how far off theirs are, if they are. */
export async function startCluster(kind, count = 3, { env = {}, clocks = [], engine: options } = {}) {
  const engine = await startEngine(kind, options);
  apps += 1;
  const cluster = new Cluster(engine, `test-${process.pid}-${apps}`, env, clocks);
  try {
    for (let n = 1; n <= count; n += 1) await cluster.add(`node-${n}`);
    await cluster.meet();
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return cluster;
}

class Cluster {
  nodes = [];
  #env;
  #clocks;

  constructor(engine, app, env, clocks) {
    Object.assign(this, { engine, app });
    this.#env = env;
    this.#clocks = clocks;
  }

  async add(name) {
    const node = await this.#start(name, await startTap(this.engine.port));
    this.nodes.push(node);
    return node;
  }

  async #start(name, tap, port) {
    // These servers have no JetStream, and nothing here is about kept topics.
    const kept = this.engine.kind === "nats" ? { KEEP: "0" } : {};
    const env = { RUST_LOG: "error", ...kept, ...this.#env, ENGINE: this.engine.url(tap.port), APP: this.app, NODE: name };
    const clock = clockEnv(this.#clocks[Number(name.split("-")[1]) - 1]);
    const node = await startTestbed({ env: { ...env, ...clock }, port });
    // A connection for each: one that is kept may be closed by the node while a busy test is about to use it again.
    const ask = (path) => fetch(`http://${node.address}${path}`, { headers: { connection: "close" } });
    const stats = async () => (await ask("/stats")).json();
    const isReady = async () => (await ask("/ready")).status === 200;
    return Object.assign(node, { name, tap, stats, isReady });
  }

  /** Has a node go down in good order, and starts it again where it was. */
  async restart(node) {
    node.signal("SIGTERM");
    await node.over;
    const again = await this.#start(node.name, node.tap, node.port);
    this.nodes = this.nodes.map((other) => (other === node ? again : other));
    return again;
  }

  /** Kills a node so long after it was told to go, and starts it again where it was. */
  async kill(node, afterMs) {
    node.signal("SIGTERM");
    await Promise.race([node.over, new Promise((resolve) => setTimeout(resolve, afterMs))]);
    node.signal("SIGKILL");
    await node.over;
    const again = await this.#start(node.name, node.tap, node.port);
    this.nodes = this.nodes.map((other) => (other === node ? again : other));
  }

  /** Waits until each node that runs knows all others, and is ready. */
  async meet(nodes = this.nodes) {
    for (const node of nodes) {
      await until(`${node.name} knows the others and is ready`, async () => {
        const { cluster } = await node.stats();
        return cluster.nodes.length === nodes.length && (await node.isReady());
      });
    }
  }

  /** Ends a node, and forgets it. */
  async remove(node, signal = "SIGKILL") {
    this.nodes = this.nodes.filter((other) => other !== node);
    await node.stop(signal);
    await node.tap.stop();
  }

  async stop() {
    for (const node of [...this.nodes]) {
      // One that was paused does not end before it goes on.
      node.signal("SIGCONT");
      await this.remove(node);
    }
    await this.engine.stop();
  }
}
