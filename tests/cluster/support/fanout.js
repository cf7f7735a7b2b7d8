// Clients on all nodes, and publishers that count: what was said, what arrived, what was told as lost, and how long it took.

import { performance } from "node:perf_hooks";
import { pause } from "../../clients/support/wait.js";
import { connect } from "./client.js";
import { Times } from "./times.js";

/** How often the publishers say what is due. */
const TICK_MS = 10;

/** Connections that are made at a time. */
const AT_ONCE = 50;

/** `clients` on each node, one topic each of so many; publishers on each node say `rate` broadcasts a second together. */
export async function startFanout(nodes, { clients, topics, rate, publishers = 3 }) {
  const fanout = new Fanout(topics, rate);
  const listeners = nodes.flatMap((node) => Array.from({ length: clients }, (_, n) => ({ node, topic: n % topics })));
  for (let at = 0; at < listeners.length; at += AT_ONCE) {
    await Promise.all(listeners.slice(at, at + AT_ONCE).map(({ node, topic }) => fanout.listen(node, topic)));
  }
  for (const node of nodes) for (let n = 0; n < publishers; n += 1) await fanout.addPublisher(node);
  return fanout;
}

const nameOf = (topic) => `room:fanout-${topic}`;

class Fanout {
  #listeners = [];
  #publishers = [];
  #timer;
  #sent = 0;
  #due = 0;
  #rate;
  #topics;
  /** Milliseconds from the publisher to a client of its own node, and to one of another. */
  local = new Times();
  remote = new Times();
  /** Clients that were told of a gap, for each gap: the node whose it is, and why. */
  gaps = [];
  doubled = 0;
  disordered = 0;
  received = 0;

  constructor(topics, rate) {
    this.#topics = topics;
    this.#rate = rate;
  }

  async listen(node, topic) {
    const client = await connect(node);
    const listener = { node, topic, client, last: [], holes: [], told: [] };
    await client.join(nameOf(topic));
    client.hear = (text) => this.#hear(listener, text);
    this.#listeners.push(listener);
  }

  async addPublisher(node) {
    const client = await connect(node);
    await client.join("room:publishers");
    this.#publishers.push({ node, client, counts: new Uint32Array(this.#topics), next: 0 });
  }

  #hear(listener, text) {
    const said = /"n":(\d+),"p":(\d+),"t":(\d+)/.exec(text);
    if (!said) {
      if (text.includes('"gap"')) this.#tellGap(listener, JSON.parse(text)[4]);
      return;
    }
    const [n, publisher, sent] = [Number(said[1]), Number(said[2]), Number(said[3])];
    this.received += 1;
    const last = listener.last[publisher] ?? 0;
    if (n > last) {
      if (n > last + 1) listener.holes.push({ publisher, from: last + 1, to: n - 1 });
      listener.last[publisher] = n;
    } else if (listener.holes.some((hole) => hole.publisher === publisher && hole.from <= n && n <= hole.to)) this.disordered += 1;
    else this.doubled += 1;
    // Where somebody says what the nodes say, there may be no such publisher.
    const times = this.#publishers[publisher]?.node === listener.node ? this.local : this.remote;
    times.add(performance.now() - sent / 1_000);
  }

  #tellGap(listener, { node, cause }) {
    listener.told.push(node);
    this.gaps.push({ listener, node, cause });
  }

  /** Begins to publish. */
  start() {
    const began = performance.now();
    this.#timer = setInterval(() => {
      this.#due = ((performance.now() - began) / 1_000) * this.#rate;
      while (this.#sent < this.#due) this.#say();
    }, TICK_MS);
    this.beats = setInterval(() => this.#clients().forEach((client) => client.beat()), 20_000);
  }

  #clients() {
    return [...this.#listeners, ...this.#publishers].map(({ client }) => client);
  }

  #say() {
    const number = this.#sent % this.#publishers.length;
    this.#sent += 1;
    const publisher = this.#publishers[number];
    if (publisher.client.closed !== undefined) return;
    // Each publisher goes through all topics.
    const topic = publisher.next;
    publisher.next = (topic + 1) % this.#topics;
    publisher.counts[topic] += 1;
    const payload = { n: publisher.counts[topic], p: number, t: Math.round(performance.now() * 1_000) };
    publisher.client.say("room:publishers", "tell", { topic: nameOf(topic), payload });
  }

  /** Forgets how long it took so far. */
  forgetTimes() {
    this.local = new Times();
    this.remote = new Times();
  }

  /** Ends the publishing, and waits until everything is there or is not to be expected any more. */
  async finish({ quietMs = 3_000, patienceMs = 60_000 } = {}) {
    clearInterval(this.#timer);
    const end = Date.now() + patienceMs;
    for (let [before, since] = [this.received, Date.now()]; Date.now() < end && this.#missing().length > 0; ) {
      await pause(50);
      if (this.received !== before) [before, since] = [this.received, Date.now()];
      else if (Date.now() - since > quietMs && this.#missing().every(({ isTold }) => isTold)) break;
    }
    return this.result();
  }

  /** What a client should have and does not, by publisher, and whether it was told of a gap of that node. */
  #missing() {
    const missing = [];
    for (const { topic, last, holes, told } of this.#listeners) {
      this.#publishers.forEach(({ node, counts }, publisher) => {
        const own = holes.filter((hole) => hole.publisher === publisher);
        const count = own.reduce((sum, { from, to }) => sum + to - from + 1, 0) + counts[topic] - (last[publisher] ?? 0);
        if (count > 0) missing.push({ count, isTold: told.includes(node.name) });
      });
    }
    return missing;
  }

  result() {
    const missing = this.#missing();
    const sum = (some) => some.reduce((sum, { count }) => sum + count, 0);
    const expected = this.#listeners.reduce((sum, { topic }) => sum + this.#publishers.reduce((sum, { counts }) => sum + counts[topic], 0), 0);
    return {
      sent: this.#sent,
      expected,
      received: this.received,
      lost: sum(missing.filter(({ isTold }) => !isTold)),
      told: sum(missing.filter(({ isTold }) => isTold)),
      gaps: this.gaps.length,
      causes: [...new Set(this.gaps.map(({ cause }) => cause))].join(" "),
      doubled: this.doubled,
      disordered: this.disordered,
      closed: this.#clients().filter(({ closed }) => closed !== undefined).length,
      local: this.local.summary(),
      remote: this.remote.summary(),
    };
  }

  /** How often each client was told of a gap of each node, at most. */
  mostGapsOfANode() {
    const counts = this.#listeners.map(({ told }) => Math.max(0, ...[...new Set(told)].map((node) => told.filter((one) => one === node).length)));
    return Math.max(...counts);
  }

  stop() {
    clearInterval(this.#timer);
    clearInterval(this.beats);
    for (const client of this.#clients()) client.close();
  }
}
