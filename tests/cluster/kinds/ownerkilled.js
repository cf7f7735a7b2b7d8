// The node of some sessions is killed. Those who come by another node are told that theirs are lost as soon as that is known, and not before;
// another session takes the place of each, and what was said meanwhile on a kept topic is there, once and in order, below phoenix.js.

import { Socket } from "phoenix-1.8.16";
import WebSocket from "ws";
import { Lapwing } from "../../../js/src/index.js";
import { recover } from "../../../js/src/recover.js";
import { startProxyProgram } from "../../clients/support/proxies.js";
import { pause, until, within } from "../../clients/support/wait.js";
import { startCluster } from "../support/cluster.js";

const TOPIC = "kept:owner";
const TRANSPORTS = ["websocket", "sse", "longpoll"];
const SAY_EVERY_MS = 50;
const PUSH_EVERY_MS = 250;

/** Until everybody is at ease, and how much longer than the doubt lasts all goes on. */
const CALM_MS = 2_000;
const AFTER_MS = 10_000;

/** What is not known after so long is told as lost; then comes the next question of who asks each second. */
const DOUBT_MS = 5_000;
const TRIP_MS = 1_000;

/** What is slow here is the machine. */
const PATIENCE_MS = 60_000;

/** A NATS keeps topics in its JetStream. */
const engines = { redis: {}, nats: { config: 'jetstream: { store_dir: "js" }\n' } };

/** So many of each transport are spread over three nodes, of which one is killed. */
export async function ownerKilledTrial(engine, { each, slack_ms }) {
  const cluster = await startCluster(engine, 3, { env: { KEEP: "2000" }, engine: engines[engine] });
  const [victim, , other] = cluster.nodes;
  const balancer = await startProxyProgram("nginx-cluster", cluster.nodes.map(({ port }) => port));
  const listeners = TRANSPORTS.flatMap((transport) => Array.from({ length: each }, () => new Listener(balancer.port, transport)));
  const speaker = new Speaker(other.port);
  const timers = [];
  const stopTimers = () => timers.splice(0).forEach((timer) => clearInterval(timer));
  try {
    await Promise.all([speaker, ...listeners].map((client) => client.come()));
    timers.push(setInterval(() => speaker.say(), SAY_EVERY_MS), setInterval(() => listeners.forEach((one) => one.push()), PUSH_EVERY_MS));
    await pause(CALM_MS);
    const killedAt = performance.now();
    await cluster.remove(victim);
    await pause(DOUBT_MS + AFTER_MS);
    stopTimers();
    await until("all is heard", () => listeners.every(({ heard }) => heard.at(-1) === speaker.said), PATIENCE_MS).catch(() => {});
    await until("each push has its end", () => listeners.every(({ open }) => open === 0), PATIENCE_MS);
    return verdictOf(listeners, speaker.said, killedAt, slack_ms);
  } finally {
    stopTimers();
    await Promise.all([speaker, ...listeners].map((client) => client.leave()));
    await balancer.stop();
    await cluster.stop();
  }
}

function verdictOf(listeners, said, killedAt, slack_ms) {
  const sum = (what) => listeners.reduce((sum, listener) => sum + what(listener), 0);
  const told = listeners.flatMap(({ recoveredAt }) => recoveredAt).map((at) => Math.round(at - killedAt));
  const did = {
    clients: listeners.length,
    said,
    heard: sum(({ heard }) => heard.length),
    lost_sessions: told.length,
    told_ms: `${Math.min(...told)} to ${Math.max(...told)}`,
    answered: sum(({ ends }) => ends.ok),
    told_lost: sum(({ ends }) => ends.lost),
  };
  const silent = sum(({ ends }) => ends.other);
  const wrong = listeners.filter(({ heard }) => heard.length !== said || heard.some((n, at) => n !== at + 1));
  const rejoined = sum(({ joins }) => joins - 1);
  const faults = [
    told.length === 0 && "no session was lost",
    Math.max(...told) > DOUBT_MS + TRIP_MS + slack_ms && `one was told after ${Math.max(...told)} ms`,
    wrong.length > 0 && `${wrong.length} did not hear all, once and in order: ${wrong[0].transport}`,
    silent > 0 && `${silent} pushes had no answer and no word`,
    rejoined > 0 && `phoenix.js joined ${rejoined} times anew`,
  ];
  return { did, faults: faults.filter(Boolean) };
}

class Speaker {
  said = 0;

  constructor(port) {
    this.socket = new Socket(`ws://127.0.0.1:${port}/socket`, { transport: WebSocket, timeout: PATIENCE_MS });
    this.channel = this.socket.channel(TOPIC);
  }

  come() {
    this.socket.connect();
    return within("a join", new Promise((resolve) => this.channel.join().receive("ok", resolve)), PATIENCE_MS);
  }

  say() {
    this.said += 1;
    this.channel.push("shout", { n: this.said });
  }

  leave() {
    return within("a farewell", new Promise((resolve) => this.socket.disconnect(resolve))).catch(() => {});
  }
}

/** Who hears all that is said, and pushes. */
class Listener extends Speaker {
  heard = [];
  joins = 0;
  /** Pushes without an end, and how the others ended. */
  open = 0;
  ends = { ok: 0, lost: 0, other: 0 };
  /** When another session had taken the place of a lost one. */
  recoveredAt = [];

  constructor(port, transport) {
    super(port);
    this.transport = transport;
    const onRecovered = () => this.recoveredAt.push(performance.now());
    const ours = Lapwing.with({ WebSocket, storage: null, transports: [transport], attemptMs: 20_000, onRecovered });
    this.socket = new Socket(`ws://127.0.0.1:${port}/socket`, { transport: ours, timeout: PATIENCE_MS });
    this.channel = this.socket.channel(TOPIC);
    recover(this.channel);
    this.channel.on("shout", ({ n }) => this.heard.push(n));
    this.channel.joinPush.receive("ok", () => (this.joins += 1));
  }

  push() {
    this.open += 1;
    const end = (how) => () => {
      this.open -= 1;
      this.ends[how] += 1;
    };
    const failed = ({ reason }) => end(reason === "lost" ? "lost" : "other")();
    this.channel.push("ping", {}).receive("ok", end("ok")).receive("error", failed).receive("timeout", end("other"));
  }
}
