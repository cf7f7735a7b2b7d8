// All nodes are started anew, one after the other, with everybody there: nobody who stays is seen to leave, and sessions of ours notice nothing: they go to
// the other nodes.

import { Presence, Socket } from "phoenix-1.8.16";
import WebSocket from "ws";
import { Lapwing } from "../../../js/src/index.js";
import { startProxyProgram } from "../../clients/support/proxies.js";
import { pause, until, within } from "../../clients/support/wait.js";
import { startCluster } from "../support/cluster.js";

/** People in a room: each hears of each. */
const ROOM = 25;

/** People that come at a time. */
const AT_ONCE = 50;

/** How long a node may take to go, and everybody to be back: what is slow here is the machine. */
const PATIENCE_MS = 120_000;

/** How often somebody of each room says something. */
const SAY_EVERY_MS = 250;

const ours = Lapwing.with({ WebSocket, storage: null, transports: ["websocket"], attemptMs: 20_000 });

/** So many stock clients and so many of ours are there while each node is started anew. */
export async function rollingTrial(engine, { stock, resumable, calmMs }) {
  const cluster = await startCluster(engine);
  const balancer = await startProxyProgram("nginx-cluster", cluster.nodes.map(({ port }) => port));
  const url = `ws://127.0.0.1:${balancer.port}/socket`;
  const people = Array.from({ length: stock + resumable }, (_, n) => new Person(n, n < stock ? WebSocket : ours, url));
  let speaking;
  const inRoom = (room) => people.filter((person) => person.room === room);
  try {
    for (let from = 0; from < people.length; from += AT_ONCE) await Promise.all(people.slice(from, from + AT_ONCE).map((person) => person.come()));
    const rooms = new Map(people.map(({ room }) => [room, inRoom(room)]));
    const isWhole = () => people.every((person) => person.sees(rooms.get(person.room)));
    await until("everybody sees everybody", isWhole, PATIENCE_MS);
    people.forEach((person) => person.reset());
    // One of ours speaks in each room, all the time.
    const speakers = [...rooms.keys()].map((room) => inRoom(room).find((person) => person.isOurs)).filter(Boolean);
    speaking = setInterval(() => speakers.forEach((person) => person.say()), SAY_EVERY_MS);
    const took = [];
    for (const node of [...cluster.nodes]) {
      const began = performance.now();
      await within(`${node.name} is started anew`, cluster.restart(node), PATIENCE_MS);
      await within("the nodes meet", cluster.meet(), PATIENCE_MS);
      await until("everybody is back", isWhole, PATIENCE_MS);
      took.push(Math.round(performance.now() - began));
      await pause(calmMs);
    }
    clearInterval(speaking);
    const hasAll = (person) => person.heard.at(-1)?.n === speakers.find(({ room }) => room === person.room)?.said;
    await until("everybody of ours has heard all", () => people.filter(({ isOurs }) => isOurs).every(hasAll), PATIENCE_MS);
    const sum = (what) => people.reduce((sum, person) => sum + what(person), 0);
    const late = people.filter(({ isOurs }) => isOurs).flatMap(({ heard }) => heard.map(({ ms }) => ms)).sort((a, b) => a - b);
    const did = {
      people: people.length,
      restarts_ms: took.join(" "),
      rejoins: sum(({ rejoins }) => rejoins),
      away_ms: Math.round(Math.max(...people.map(({ awayMs }) => awayMs))),
      leaves: sum(({ leaves }) => leaves.length),
      rejoins_of_ours: sum(({ isOurs, rejoins }) => (isOurs ? rejoins : 0)),
      heard_by_ours: sum(({ isOurs, heard }) => (isOurs ? heard.length : 0)),
      late_ms_p50_p99_max: [0.5, 0.99, 1].map((part) => percentile(late, part)).join(" "),
    };
    const faults = [];
    for (const person of people.filter(({ isOurs }) => isOurs)) {
      const wrong = person.heard.findIndex(({ n }, at) => n !== at + 1);
      if (wrong >= 0) faults.push(`${person.user} heard ${person.heard[wrong].n} in the place of ${wrong + 1}`);
    }
    if (did.rejoins_of_ours > 0) faults.push(`${did.rejoins_of_ours} of ours joined anew`);
    if (did.leaves > 0) {
      const { user, leaves } = people.find(({ leaves }) => leaves.length > 0);
      faults.push(`${did.leaves} were seen to leave, ${leaves[0]} by ${user}`);
    }
    if (did.rejoins < stock) faults.push(`of ${stock} stock clients ${did.rejoins} joined anew: not all nodes had some`);
    return { did, faults };
  } finally {
    clearInterval(speaking);
    await Promise.all(people.map((person) => person.leave()));
    await balancer.stop();
    await cluster.stop();
  }
}

/** Of values in order. */
function percentile(sorted, part) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

/** Somebody in a room, with the list of who is there as a page has it. */
class Person {
  #socket;
  #channel;
  #presence;
  /** Where it is spoken. */
  #talk;
  #leftAt;
  /** What was heard, and how late. */
  heard = [];
  said = 0;
  /** Who was seen to go. */
  leaves = [];
  rejoins = 0;
  /** The longest that this one was away itself. */
  awayMs = 0;

  constructor(n, transport, url) {
    this.room = `presence:rolling-${Math.floor(n / ROOM)}`;
    this.user = `user-${n}`;
    this.isOurs = transport === ours;
    this.#socket = new Socket(url, { transport, params: { user: this.user }, timeout: PATIENCE_MS });
    this.#socket.onClose(() => (this.#leftAt ??= performance.now()));
  }

  async come() {
    this.#socket.connect();
    this.#channel = this.#socket.channel(this.room);
    this.#presence = new Presence(this.#channel);
    this.#presence.onLeave((user, { metas }) => metas.length === 0 && this.leaves.push(user));
    const joined = new Promise((resolve) => this.#channel.join().receive("ok", () => resolve(this.#handleJoined())));
    await within(`the join of ${this.user}`, joined, PATIENCE_MS);
    this.#talk = this.#socket.channel(this.room.replace("presence:", "room:"));
    this.#talk.on("shout", ({ n, at }) => this.heard.push({ n, ms: Math.round(performance.now() - at) }));
    await within(`the talk of ${this.user}`, new Promise((resolve) => this.#talk.join().receive("ok", resolve)), PATIENCE_MS);
  }

  say() {
    this.said += 1;
    this.#talk.push("shout", { n: this.said, at: performance.now() });
  }

  #handleJoined() {
    this.rejoins += 1;
    if (this.#leftAt !== undefined) this.awayMs = Math.max(this.awayMs, performance.now() - this.#leftAt);
    this.#leftAt = undefined;
  }

  /** Whether exactly these are there, each once. */
  sees(people) {
    const there = new Map(this.#presence.list((user, { metas }) => [user, metas.length]));
    return there.size === people.length && people.every(({ user }) => there.get(user) === 1);
  }

  reset() {
    this.leaves = [];
    this.heard = [];
    this.rejoins = this.awayMs = 0;
  }

  leave() {
    return within("a farewell", new Promise((resolve) => this.#socket.disconnect(resolve))).catch(() => {});
  }
}
