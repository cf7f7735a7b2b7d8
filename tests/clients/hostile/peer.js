// One end of the traffic: a stock phoenix.js client that counts everything. It runs in Node and in pages.

import { move, release } from "./moves.js";
import { randomOf } from "./random.js";
import { Tally } from "./tally.js";

/** So many messages go with a question that the server answers. */
const MESSAGES_PER_PING = 10;
/** A shout has no answer. Until this is over, phoenix.js looks for one in each message that comes. */
const SHOUT_TIMEOUT_MS = 100;
/** How often it is looked what is due to be pushed, at least: four times for each message, where they are fewer than that. */
const TICK_MS = 10;
/** So many moves may come before one has led to anything; then it is waited for. On a slow machine each would undo the last. */
const MOVES_AHEAD = 4;
/** How long: a move may also lead to nothing. */
const MOVE_MS_MAX = 1_000;

/** A client in a room and in a presence topic, which pushes numbered messages to the other one that is there. */
export class Peer {
  /** The socket of phoenix.js. */
  socket;
  #user;
  #room;
  #presence;
  #counts = {
    firstMs: null,
    opens: 0,
    closes: 0,
    errors: 0,
    joins: 0,
    channelCloses: 0,
    channelErrors: 0,
    presences: 0,
    timeouts: 0,
  };
  #transports = new Set();
  #messages = new Tally();
  #replies = new Tally();
  #sent = 0;
  /** When each question was asked. */
  #askedAt = [];
  #pushing;
  #pushTimeoutMs;

  /**
   * `other` is the user whose comings and goings are counted. Without a transport it takes phoenix.js's own, with the options
   * `stock`.
   */
  constructor({ Socket, transport, url, user, other, topic, authToken, stock, pushTimeoutMs = SHOUT_TIMEOUT_MS }) {
    const counts = this.#counts;
    this.#user = user;
    const onStatus = ({ transport }) => transport && this.#transports.add(transport);
    this.#pushTimeoutMs = pushTimeoutMs;
    const given = transport?.with?.({ onStatus }) ?? transport;
    this.socket = new Socket(url, { transport: given, params: { user }, authToken, ...stock });
    this.socket.onOpen(() => (counts.opens += 1));
    this.socket.onClose(() => (counts.closes += 1));
    this.socket.onError(() => (counts.errors += 1));
    this.socket.onMessage((message) => this.#count(message));
    this.#room = this.socket.channel(`room:${topic}`);
    this.#presence = this.socket.channel(`presence:${topic}`);
    this.#room.on("shout", ({ from, n, at }) => from !== user && this.#messages.take(n, at));
    this.#presence.on("presence_diff", ({ joins, leaves }) => {
      counts.presences += Number(other in joins) + Number(other in leaves);
    });
  }

  /** Connects and joins. Resolves when both channels are joined. */
  async connect() {
    this.startedAt = Date.now();
    this.socket.connect();
    const joins = [this.#room, this.#presence].map((channel) => {
      const joining = channel.join();
      joining.receive("ok", () => (this.#counts.joins += 1));
      return new Promise((resolve) => joining.receive("ok", () => resolve()));
    });
    await Promise.all(joins);
  }

  /** Pushes so many messages a second until `rest`. */
  push(perSecond) {
    this.rest();
    const began = Date.now();
    const before = this.#sent;
    this.#pushing = setInterval(() => {
      const due = before + Math.floor(((Date.now() - began) * perSecond) / 1000);
      while (this.#sent < due) this.#pushOne();
    }, Math.max(TICK_MS, 250 / perSecond));
  }

  rest() {
    clearInterval(this.#pushing);
  }

  /** From now on `worstMs` is about what is sent later. */
  mark() {
    this.#messages.mark();
    this.#replies.mark();
  }

  /** All that was counted. */
  record() {
    const [messages, replies] = [this.#messages.toJSON(), this.#replies.toJSON()];
    const transports = [...this.#transports];
    return { ...this.#counts, transports, sent: this.#sent, asked: this.#askedAt.length, messages, replies };
  }

  /** What the transport says of itself. */
  status() {
    return this.socket.conn?.status?.();
  }

  /** One of the transport's deeds: `cut`, `switchTo`, `forbid` or `allow`. */
  deed(name, ...args) {
    this.socket.conn[name](...args);
  }

  /** Makes moves at random, with so long between them on average, until the session was carried on so many times. */
  async wander(seed, resumes, pauseMs) {
    const random = randomOf(seed);
    const forbidden = new Set();
    for (let seen = this.status().resumes, ahead = 0; seen < resumes; seen = this.status().resumes) {
      move(this, random, forbidden);
      await pause(2 * pauseMs * random.next());
      ahead = this.status().resumes === seen ? ahead + 1 : 0;
      if (ahead < MOVES_AHEAD) continue;
      await this.#resumed(seen);
      ahead = 0;
    }
    release(this, forbidden);
  }

  /** Waits until the session was carried on once more than so often, or for as long as that may take. */
  async #resumed(seen) {
    const end = Date.now() + MOVE_MS_MAX;
    while (this.status().resumes === seen && Date.now() < end) await pause(TICK_MS);
  }

  leave() {
    this.rest();
    return new Promise((resolve) => this.socket.disconnect(resolve));
  }

  #count({ event, payload }) {
    this.#counts.firstMs ??= Date.now() - this.startedAt;
    // Seen here, an answer counts also when phoenix.js waits for it no more.
    const n = event === "phx_reply" && payload.response?.n;
    if (n) this.#replies.take(n, this.#askedAt[n - 1]);
    if (event === "phx_close") this.#counts.channelCloses += 1;
    if (event === "phx_error") this.#counts.channelErrors += 1;
  }

  #pushOne() {
    const at = Date.now();
    this.#sent += 1;
    this.#room.push("shout_from", { from: this.#user, n: this.#sent, at }, this.#pushTimeoutMs);
    if (this.#sent % MESSAGES_PER_PING) return;
    const n = this.#askedAt.push(at);
    this.#room.push("ping", { n }).receive("timeout", () => (this.#counts.timeouts += 1));
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
