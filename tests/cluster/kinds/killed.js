// A node is killed while its sessions go to the others: each is at one node, or its client is told that it is gone.

import { Socket } from "phoenix-1.8.16";
import WebSocket from "ws";
import { Lapwing } from "../../../js/src/index.js";
import { startProxyProgram } from "../../clients/support/proxies.js";
import { until, within } from "../../clients/support/wait.js";
import { startCluster } from "../support/cluster.js";

const TOPIC = "room:killed";

/** How long everybody may take to be back: what is slow here is the machine. */
const PATIENCE_MS = 60_000;

const SAY_EVERY_MS = 5;

const ours = Lapwing.with({ WebSocket, storage: null, attemptMs: 20_000 });

/** `afterMs`: how long after it was told to go a node is killed, of each round. Nobody is on the last node, which speaks. */
export async function killedTrial(engine, { sessions, afterMs }) {
  const cluster = await startCluster(engine);
  const balancer = await startProxyProgram("nginx-cluster", cluster.nodes.map(({ port }) => port));
  const people = Array.from({ length: sessions }, () => new Person(`ws://127.0.0.1:${balancer.port}/socket`));
  const speaker = new Speaker(`ws://${cluster.nodes[2].address}/socket`);
  try {
    await Promise.all([speaker.come(), ...people.map((person) => person.come())]);
    const did = { rounds: afterMs.length, went: 0, began_anew: 0, said: 0 };
    for (const [round, ms] of afterMs.entries()) {
      const before = people.map(({ joins }) => joins);
      await within("a node is killed and starts again", cluster.kill(cluster.nodes[round % 2], ms), PATIENCE_MS);
      await within("the nodes meet", cluster.meet(), PATIENCE_MS);
      const said = speaker.said;
      await until("everybody hears", () => people.every(({ heard }) => heard.at(-1)?.n > said), PATIENCE_MS);
      const anew = people.filter(({ joins }, n) => joins > before[n]).length;
      did.began_anew += anew;
      did.went += people.length - anew;
    }
    did.said = speaker.said;
    return { did, faults: people.flatMap((person) => person.faults()) };
  } finally {
    speaker.leave();
    people.forEach((person) => person.leave());
    await balancer.stop();
    await cluster.stop();
  }
}

class Speaker {
  said = 0;
  #socket;
  #timer;

  constructor(url) {
    this.#socket = new Socket(url, { transport: WebSocket, timeout: PATIENCE_MS });
  }

  async come() {
    this.#socket.connect();
    const channel = this.#socket.channel(TOPIC);
    await within("the speaker's join", new Promise((resolve) => channel.join().receive("ok", resolve)), PATIENCE_MS);
    this.#timer = setInterval(() => channel.push("shout", { n: (this.said += 1) }), SAY_EVERY_MS);
  }

  leave() {
    clearInterval(this.#timer);
    this.#socket.disconnect();
  }
}

class Person {
  /** What was said, and how often this one had joined by then. */
  heard = [];
  joins = 0;
  #socket;

  constructor(url) {
    this.#socket = new Socket(url, { transport: ours, timeout: PATIENCE_MS });
  }

  async come() {
    this.#socket.connect();
    const channel = this.#socket.channel(TOPIC);
    channel.on("shout", ({ n }) => this.heard.push({ n, joins: this.joins }));
    await within("a join", new Promise((resolve) => channel.join().receive("ok", () => resolve((this.joins += 1)))), PATIENCE_MS);
  }

  /** Nothing came twice or late; where something is missing, there was a join. */
  faults() {
    return this.heard.slice(1).flatMap(({ n, joins }, at) => {
      const before = this.heard[at];
      if (n <= before.n) return [`heard ${n} behind ${before.n}`];
      return n > before.n + 1 && joins === before.joins ? [`heard ${n} behind ${before.n}, and was not told`] : [];
    });
  }

  leave() {
    this.#socket.disconnect();
  }
}
