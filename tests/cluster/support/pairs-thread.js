// Pairs of clients, who say numbered things to each other.

import { LongPoll, Socket } from "phoenix-1.8.16";
import WebSocket from "ws";
import { Lapwing } from "../../../js/src/index.js";
import { Peer } from "../../clients/hostile/peer.js";
import { wrongs } from "../../clients/hostile/zeros.js";
import { randomOf } from "../../clients/hostile/random.js";
import { pause, within } from "../../clients/support/wait.js";
import { serve } from "./thread.js";

/** Pairs that connect at a time. */
const AT_ONCE = 8;

/** How long a client keeps a connection: between the two. */
const KEPT_MS = [2_000, 5_000];

/** How long a push waits for its answer: what is slow here is the machine. */
const TIMEOUT_MS = 60_000;

/** What carries the clients of a pair. */
const ways = {
  websocket: () => ours("websocket"),
  sse: () => ours("sse"),
  longpoll: () => ours("longpoll"),
  stock: () => LongPoll,
};

// Nothing is raced: what is slow here is the machine, and no network.
const ours = (name) => Lapwing.with({ transports: [name], WebSocket, storage: null, staggerMs: TIMEOUT_MS, attemptMs: 20_000, postMs: 10_000, patienceMs: 10_000 });

/** What a thread has of them. */
class Pairs {
  #pairs;
  #isOver = false;

  /** `pairs` are what carries each, its number, and the seed of what is left to chance. */
  constructor(url, pairs) {
    this.#pairs = pairs.map(({ way, n, seed }) => new Pair(way, n, url, seed));
  }

  async connect() {
    for (let from = 0; from < this.#pairs.length; from += AT_ONCE) {
      await Promise.all(this.#pairs.slice(from, from + AT_ONCE).map((pair) => pair.connect()));
    }
  }

  begin(perSecond) {
    this.#pairs.forEach((pair) => pair.begin(perSecond, () => this.#isOver));
  }

  rest() {
    this.#isOver = true;
    this.#pairs.forEach((pair) => pair.rest());
  }

  /** What each has seen so far. */
  seen() {
    return this.#pairs.map((pair) => pair.seen());
  }

  async leave() {
    await Promise.all(this.#pairs.map((pair) => pair.leave()));
  }
}

/** Two clients in a room. */
class Pair {
  #clients;
  #isOurs;
  #random;

  constructor(way, n, url, seed) {
    this.#isOurs = way !== "stock";
    this.#random = randomOf(seed);
    const topic = `${way}-${n}`;
    const client = (user, other) =>
      new Peer({ Socket, transport: ways[way](), url, user: `${topic}-${user}`, other: `${topic}-${other}`, topic, stock: { timeout: TIMEOUT_MS } });
    this.#clients = [client("one", "two"), client("two", "one")];
  }

  async connect() {
    for (const client of this.#clients) await within("the joins", client.connect(), TIMEOUT_MS);
  }

  begin(perSecond, isOver) {
    for (const client of this.#clients) {
      client.push(perSecond);
      if (this.#isOurs) void wander(client, this.#random, isOver);
    }
  }

  rest() {
    this.#clients.forEach((client) => client.rest());
  }

  seen() {
    const [observer, client] = this.#clients.map((client) => client.record());
    // From the view of each: the second came when the first was there.
    const first = wrongs({ client: observer, observer: client }).filter((wrong) => !wrong.startsWith("presence"));
    const under = (from, to) => from.sent - to.messages.taken + from.asked - from.replies.taken;
    return {
      isOurs: this.#isOurs,
      missing: under(client, observer) + under(observer, client),
      wrongs: [...new Set([...wrongs({ client, observer }), ...first])],
      // Whether either has heard that its connection is lost.
      wasTold: [client, observer].some(({ errors, closes }) => errors + closes > 0),
      resumes: this.#clients.map((client) => client.status()?.resumes ?? 0),
      said: client.sent + observer.sent,
      heard: client.messages.taken + observer.messages.taken,
      answered: client.replies.taken + observer.replies.taken,
      worstMs: Math.max(client.messages.worstMs, observer.messages.worstMs),
    };
  }

  async leave() {
    this.rest();
    for (const client of this.#clients) await within("a farewell", client.leave()).catch(() => {});
  }
}

/** Loses a connection again and again. */
async function wander(client, random, isOver) {
  const [least, most] = KEPT_MS;
  for (;;) {
    await pause(least + (most - least) * random.next());
    if (isOver()) return;
    // It may be opening another connection at this moment.
    if (client.socket.conn) client.deed("cut");
  }
}

await serve((url, pairs) => new Pairs(url, pairs));
