// What one scenario is given: sockets of one version over one transport, all closed when it is over.

import assert from "node:assert/strict";
import { within } from "./wait.js";

let topics = 0;

/** How long an answer may take: three times what the clients wait by default, since the machine may have other things to do. */
const TIMEOUT_MS = 30_000;

export class World {
  #cleanups = [];
  #log = [];
  #start = Date.now();

  constructor(testbed, client, transport) {
    this.testbed = testbed;
    this.client = client;
    this.transport = transport;
  }

  /** A socket of the scenario's version and transport, connecting. */
  socket(options = {}) {
    const { port = this.testbed.port, mount = "/socket", connected = true, ...rest } = options;
    const { transport } = this.transport;
    const logger = (kind, message) => this.#log.push(`${Date.now() - this.#start} ms ${kind} ${message}`);
    const socket = new this.client.Socket(`ws://127.0.0.1:${port}${mount}`, { transport, logger, timeout: TIMEOUT_MS, ...rest });
    this.onEnd(() => new Promise((resolve) => socket.disconnect(resolve)));
    if (connected) socket.connect();
    return socket;
  }

  /** The same over WebSocket, whatever the scenario's transport. */
  websocket(options = {}) {
    return this.socket({ transport: globalThis.WebSocket, ...options });
  }

  /** A topic that no other scenario uses. */
  topic(name = "t") {
    topics += 1;
    return `room:${name}-${process.pid}-${topics}`;
  }

  /** What the clients' loggers have said lately. */
  log() {
    return this.#log.slice(-60).map((line) => line.slice(0, 200)).join("\n");
  }

  onEnd(cleanup) {
    this.#cleanups.push(cleanup);
  }

  async end() {
    for (const cleanup of this.#cleanups.reverse()) await within("an end in good order", cleanup());
  }
}

/** The outcome of a push or a join. */
export function outcome(push, ms = 2 * TIMEOUT_MS) {
  const outcome = new Promise((resolve) => {
    for (const status of ["ok", "error", "timeout"]) {
      push.receive(status, (response) => resolve({ status, response }));
    }
  });
  return within("an outcome", outcome, ms);
}

/** Joins, and must be let in. */
export async function joined(socket, topic, params = {}) {
  const channel = socket.channel(topic, params);
  const result = await outcome(channel.join());
  assert.equal(result.status, "ok", `join of ${topic}: ${JSON.stringify(result)}`);
  return channel;
}

/** Pushes, and must be answered with ok. */
export async function ok(channel, event, payload) {
  const result = await outcome(channel.push(event, payload));
  assert.equal(result.status, "ok", `${event}: ${JSON.stringify(result.response)}`);
  return result.response;
}

/** Everything that comes with an event, in order. */
export function collect(channel, event) {
  const payloads = [];
  channel.on(event, (payload) => payloads.push(payload));
  return payloads;
}

/** Counts how often a join succeeds, the first time included. */
export function countJoins(channel) {
  const count = { joins: 0, errors: 0, closes: 0 };
  channel.onError(() => (count.errors += 1));
  channel.onClose(() => (count.closes += 1));
  const first = outcome(channel.join().receive("ok", () => (count.joins += 1)));
  return { count, first };
}
