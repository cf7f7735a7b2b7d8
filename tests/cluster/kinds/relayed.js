// Pushes of clients whose WebSocket comes to another node than the one with their session, beside those of clients at that node.

import WebSocket from "ws";
import { pause, within } from "../../clients/support/wait.js";
import { startCluster } from "../support/cluster.js";
import { Times } from "../support/times.js";

const TOPIC = "room:relayed";

/** So many sessions of the first node push so often a second; half of them by way of the second. */
export async function relayedTrial(engine, { sessions, perSecond, ms, slack_ms }) {
  const cluster = await startCluster(engine);
  const [owner, carrier] = cluster.nodes;
  const [direct, relayed] = [new Times(), new Times()];
  const clients = [];
  try {
    for (let n = 0; n < sessions; n += 1) {
      const isRelayed = n % 2 === 1;
      clients.push(await Pusher.start(owner, isRelayed ? carrier : owner, isRelayed ? relayed : direct));
    }
    const { carried } = (await owner.stats()).relays;
    const end = performance.now() + ms;
    const push = async (client) => {
      await pause(Math.random() * (1_000 / perSecond));
      for (; performance.now() < end; await pause(1_000 / perSecond)) client.push();
    };
    await Promise.all(clients.map(push));
    await pause(Math.min(ms, 2_000));
    const lost = clients.reduce((sum, { missing }) => sum + missing, 0);
    const did = { carried, direct_ms: shown(direct), relayed_ms: shown(relayed), lost };
    const faults = [];
    if (carried < Math.floor(sessions / 2)) faults.push(`${carried} connections are carried`);
    if (lost > 0) faults.push(`${lost} pushes were not answered`);
    if (relayed.quantile(0.99) > direct.quantile(0.99) + slack_ms) faults.push("pushes take too long by way of another node");
    return { did, faults };
  } finally {
    clients.forEach((client) => client.close());
    await cluster.stop();
  }
}

function shown(times) {
  const { p50, p99, max } = times.summary();
  return `${times.count} p50 ${p50} p99 ${p99} max ${max}`;
}

/** A session of the dialect, with one push after the other. */
class Pusher {
  #socket;
  #times;
  #pushed = new Map();
  #count = 1;
  #received = 0;
  #joined;

  /** Opens a session at its owner, and goes on with it at another node, or at the same. */
  static async start(owner, at, times) {
    const opening = new Pusher(owner, times);
    const token = await opening.#first("!open 60000");
    opening.close();
    const pusher = new Pusher(at, times);
    await pusher.#first(`!resume ${token} 0 60000`);
    const joined = new Promise((resolve) => (pusher.#joined = resolve));
    pusher.#socket.send(JSON.stringify(["1", "1", TOPIC, "phx_join", {}]));
    await within("the join", joined);
    return pusher;
  }

  constructor(node, times) {
    this.#socket = new WebSocket(`ws://${node.address}/socket/websocket?vsn=2.0.0`, ["phoenix", "lapwing.1"]);
    this.#times = times;
    // Whoever is closed by the test is no error.
    this.#socket.on("error", () => {});
  }

  get missing() {
    return this.#pushed.size;
  }

  /** Sends the first line. Returns the second word of the answer. */
  async #first(line) {
    const answered = new Promise((resolve) => this.#socket.once("message", (text) => resolve(String(text))));
    this.#socket.once("open", () => this.#socket.send(line));
    const [word, second] = (await within("an answer", answered)).split(" ");
    if (word !== "!opened" && word !== "!resumed") throw new Error(`${line}: ${word} ${second}`);
    this.#socket.on("message", (text) => this.#take(String(text)));
    return second;
  }

  push() {
    this.#count += 1;
    this.#pushed.set(String(this.#count), performance.now());
    this.#socket.send(JSON.stringify(["1", String(this.#count), TOPIC, "ping", {}]));
  }

  #take(text) {
    if (text.startsWith("!")) return;
    this.#received += 1;
    if (this.#received % 32 === 0) this.#socket.send(`!ack ${this.#received}`);
    const [, ref, , event] = JSON.parse(text);
    if (event !== "phx_reply") return;
    if (ref === "1") return this.#joined();
    this.#times.add(performance.now() - this.#pushed.get(ref));
    this.#pushed.delete(ref);
  }

  close() {
    this.#socket.terminate();
  }
}
