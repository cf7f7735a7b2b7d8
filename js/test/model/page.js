// A page with phoenix.js over sessions that are lost: what it does, and the laws of what it sees.

import { recover } from "../../src/recover.js";
import { Server } from "./server.js";
import { transportOf } from "./network.js";

const TOPICS = ["kept:a", "kept:b", "room:a", "room:b"];

/** One page, one server, and what was seen of the two. */
export class World {
  // phoenix.js 1.7 may join once more what it had joined while it was not connected.
  server = new Server((session, joinRef) => this.#joinedIn.get(joinRef) === session);
  faults = [];
  /** How often what happened, so that a test can see that it did. */
  counts = { recovered: 0, replayed: 0, over: 0, ok: 0, lost: 0, error: 0, timeout: 0 };
  options = { reopenMs: 30_000, retryMs: { min: 100, max: 2_000 } };
  session;
  sessions;
  #random;
  #socket;
  /** By topic, what the page has of it. */
  #rooms = new Map();
  #pushes = new Map();
  #sentRefs = new Set();
  /** By join ref, the session in which the page itself joined. */
  #joinedIn = new Map();
  #repliedRefs = new Set();
  /** Topics with a gap of which the channel has not heard yet. */
  #gaps = new Set();
  /** The join refs of those that crashed. */
  #crashed = new Set();
  #isOver = false;
  #pings = [];

  constructor(Socket, random) {
    this.#random = random;
    this.#socket = new Socket("ws://model/socket", { transport: transportOf(this) });
    this.#socket.onMessage((message) => this.#hear(message));
    this.#socket.connect();
    for (const topic of TOPICS) this.join(topic);
  }

  // What the transport tells.

  begin(session) {
    if (this.#random() < 0.02) session.fail(4400, "no token");
    else session.start();
  }

  sent(frame) {
    const [joinRef, ref, , event] = JSON.parse(frame);
    this.#sentRefs.add(ref);
    if (event === "phx_join") this.#joinedIn.set(joinRef, this.session);
  }

  told({ type, topic, reason, replayed }) {
    if (type === "recovered") {
      this.counts.recovered += 1;
      this.counts.replayed += replayed;
      return;
    }
    this.counts[reason] = (this.counts[reason] ?? 0) + 1;
    this.#gaps.add(topic);
  }

  over() {
    this.counts.over += 1;
    this.#isOver = true;
    this.#gaps.clear();
  }

  // What the page does.

  join(topic) {
    if (this.#rooms.has(topic)) return;
    const channel = this.#socket.channel(topic, {});
    if (isKept(topic)) recover(channel);
    const room = { channel, topic, at: null, isOpen: false };
    this.#rooms.set(topic, room);
    channel.onError(() => this.#errored(room));
    channel.on("said", ({ offset }) => this.#said(room, offset));
    const joining = channel.join();
    joining.receive("ok", (reply) => this.#joined(room, reply));
    joining.receive("timeout", () => (room.isGapped = false));
  }

  leave(topic) {
    const room = this.#rooms.get(topic);
    if (!room) return;
    this.#rooms.delete(topic);
    this.#gaps.delete(topic);
    room.isLeft = true;
    room.channel.leave();
  }

  push(topic, event) {
    const room = this.#rooms.get(topic);
    if (!room) return;
    const id = this.#pushes.size + 1;
    const push = { event, outcomes: [] };
    this.#pushes.set(id, push);
    const pushed = room.channel.push(event, { id });
    for (const status of ["ok", "error", "timeout"]) {
      pushed.receive(status, ({ reason }) => {
        push.outcomes.push(reason === "lost" ? "lost" : status);
        this.counts[reason === "lost" ? "lost" : status] += 1;
      });
    }
  }

  ping() {
    const ping = { pongs: 0 };
    if (this.#socket.ping(() => (ping.pongs += 1))) this.#pings.push(ping);
  }

  crash(topic) {
    if (this.session.token && !this.session.isOver) this.#crashed.add(this.server.crash(this.session, topic));
  }

  get topics() {
    return TOPICS;
  }

  /** Whether it is as it would be if nothing had ever happened. */
  get isWell() {
    const isCarried = this.session.token !== null && !this.session.isOver;
    return isCarried && this.session.isIdle && [...this.#rooms.values()].every(({ channel }) => channel.state === "joined");
  }

  get state() {
    const { session } = this;
    const channels = [...this.#rooms.values()].map(({ topic, channel }) => `${topic} ${channel.state}`);
    return [session.isOver ? "over" : session.token ? "open" : session.isStarted ? "opening" : "waiting", ...channels].join(", ");
  }

  /** What must hold when nothing is under way any more. */
  finish() {
    this.#check(this.#gaps.size === 0, () => `${[...this.#gaps]}: a gap without an error`);
    for (const { topic, at } of this.#rooms.values()) {
      this.#check(at === this.server.offsetOf(topic), () => `${topic}: heard up to ${at} of ${this.server.offsetOf(topic)}`);
    }
    for (const [id, { event, outcomes }] of this.#pushes) {
      const handled = this.server.handled.get(id) ?? 0;
      this.#check(handled <= 1, () => `push ${id} was handled ${handled} times`);
      this.#check(outcomes.length === 1, () => `push ${id} came to ${outcomes}`);
      this.#check(outcomes[0] !== "ok" || (handled === 1 && event === "say"), () => `push ${id} was answered and not handled`);
    }
    for (const { pongs } of this.#pings) this.#check(pongs <= 1, () => `a ping was answered ${pongs} times`);
    this.#isOver = true;
    this.#socket.disconnect();
    return [...this.faults, ...this.server.faults];
  }

  // What the page hears.

  #joined(room, reply) {
    Object.assign(room, { isOpen: true, isGapped: false });
    if (!isKept(room.topic)) return void (room.at = null);
    const [epoch, at] = reply._at.split(":").map(Number);
    const isNext = room.at === null || (epoch === room.epoch && at === room.at);
    this.#check(!reply._recovered || isNext, () => `${room.topic}: recovered from ${at}, after ${room.at}`);
    Object.assign(room, { epoch, at });
  }

  #said(room, offset) {
    this.#check(!room.isGapped, () => `${room.topic}: ${offset} was heard behind a gap`);
    // A page that has left, or given up, and joins again, may hear what was said to the join before.
    if (!room.isOpen) return;
    const isNext = room.at === null || (isKept(room.topic) ? offset === room.at + 1 : offset > room.at);
    this.#check(isNext, () => `${room.topic}: ${offset} after ${room.at}`);
    room.at = offset;
  }

  #errored(room) {
    room.isGapped = this.#gaps.delete(room.topic);
    const isKnown = this.#isOver || this.#crashed.has(room.channel.joinRef()) || room.isGapped || room.isLeft || !room.isOpen;
    this.#check(isKnown, () => `${room.topic}: an error without a gap`);
    room.isOpen = false;
  }

  #hear({ event, ref, topic, join_ref }) {
    this.#isOver = false;
    if (event !== "phx_reply") return;
    this.#check(this.#sentRefs.has(ref), () => `an answer to ${ref} on ${topic}, which the page has not sent`);
    this.#check(!this.#repliedRefs.has(ref), () => `a second answer to ${ref} of ${join_ref} on ${topic}`);
    this.#repliedRefs.add(ref);
  }

  #check(holds, fault) {
    if (!holds) this.faults.push(fault());
  }
}

const isKept = (topic) => topic.startsWith("kept:");
