// A client that speaks version 2 of Phoenix's protocol, and looks at as little of what comes as its test needs.

import { WebSocket } from "ws";
import { within } from "../../clients/support/wait.js";

/** Connects to a node. `params` go into the query. */
export async function connect(node, params = {}) {
  const query = new URLSearchParams({ vsn: "2.0.0", ...params });
  const socket = new WebSocket(`ws://${node.address}/socket/websocket?${query}`, { perMessageDeflate: false });
  const client = new Client(socket, node);
  await within(`a connection to ${node.name}`, new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject)));
  return client;
}

class Client {
  #socket;
  #replies = new Map();
  #refs = 0;
  /** Called with the text of each frame that is no reply. */
  hear = () => {};
  /** Why the server, or the network, closed it. */
  closed;
  /** Resolves when it is closed. */
  gone;

  constructor(socket, node) {
    this.node = node;
    this.#socket = socket;
    socket.on("error", () => {});
    socket.on("message", (data) => this.#take(data.toString("latin1")));
    this.gone = new Promise((resolve) => socket.on("close", (code) => resolve((this.closed ??= code))));
  }

  #take(text) {
    // A reply is ["join_ref","ref",topic,"phx_reply",…], and what is nobody's answer has no ref.
    const [, ref] = /^\["[^"]*","(\d+)",/.exec(text) ?? [];
    const settle = ref && this.#replies.get(ref);
    if (!settle) return this.hear(text);
    this.#replies.delete(ref);
    settle(JSON.parse(text)[4]);
  }

  /** Says something, and returns the answer. */
  ask(topic, event, payload = {}, ms = undefined) {
    this.#refs += 1;
    const ref = String(this.#refs);
    const answered = new Promise((resolve) => this.#replies.set(ref, resolve));
    this.say(topic, event, payload, ref);
    return within(`an answer of ${this.node.name} to ${event}`, answered, ms);
  }

  /** Says something that nobody answers. Its join is the first of the client. */
  say(topic, event, payload, ref = null) {
    this.#socket.send(JSON.stringify(["1", ref, topic, event, payload]));
  }

  async join(topic, payload = {}) {
    const { status, response } = await this.ask(topic, "phx_join", payload);
    if (status !== "ok") throw new Error(`join of ${topic} at ${this.node.name}: ${JSON.stringify(response)}`);
  }

  /** Beats, so that a long test does not count as silence. */
  beat() {
    if (this.closed === undefined) this.#socket.send('[null,"0","phoenix","heartbeat",{}]');
  }

  close() {
    this.closed ??= "by itself";
    this.#socket.terminate();
  }
}
