// All nodes are started anew, one after the other, with everybody there: nobody who stays is seen to leave.

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

const ours = Lapwing.with({ WebSocket, storage: null, transports: ["websocket"], attemptMs: 20_000 });

/** So many stock clients and so many of ours are there while each node is started anew. */
export async function rollingTrial(engine, { stock, resumable, calmMs }) {
  const cluster = await startCluster(engine);
  const balancer = await startProxyProgram("nginx-cluster", cluster.nodes.map(({ port }) => port));
  const url = `ws://127.0.0.1:${balancer.port}/socket`;
  const people = Array.from({ length: stock + resumable }, (_, n) => new Person(n, n < stock ? WebSocket : ours, url));
  const inRoom = (room) => people.filter((person) => person.room === room);
  try {
    for (let from = 0; from < people.length; from += AT_ONCE) await Promise.all(people.slice(from, from + AT_ONCE).map((person) => person.come()));
    const rooms = new Map(people.map(({ room }) => [room, inRoom(room)]));
    const isWhole = () => people.every((person) => person.sees(rooms.get(person.room)));
    await until("everybody sees everybody", isWhole, PATIENCE_MS);
    people.forEach((person) => person.reset());
    const took = [];
    for (const node of [...cluster.nodes]) {
      const began = performance.now();
      await within(`${node.name} is started anew`, cluster.restart(node), PATIENCE_MS);
      await within("the nodes meet", cluster.meet(), PATIENCE_MS);
      await until("everybody is back", isWhole, PATIENCE_MS);
      took.push(Math.round(performance.now() - began));
      await pause(calmMs);
    }
    const sum = (what) => people.reduce((sum, person) => sum + what(person), 0);
    const did = {
      people: people.length,
      restarts_ms: took.join(" "),
      rejoins: sum(({ rejoins }) => rejoins),
      away_ms: Math.round(Math.max(...people.map(({ awayMs }) => awayMs))),
      leaves: sum(({ leaves }) => leaves.length),
    };
    const faults = [];
    if (did.leaves > 0) {
      const { user, leaves } = people.find(({ leaves }) => leaves.length > 0);
      faults.push(`${did.leaves} were seen to leave, ${leaves[0]} by ${user}`);
    }
    if (did.rejoins < people.length) faults.push(`of ${people.length} people ${did.rejoins} joined anew: not all nodes had some`);
    return { did, faults };
  } finally {
    await Promise.all(people.map((person) => person.leave()));
    await balancer.stop();
    await cluster.stop();
  }
}

/** Somebody in a room, with the list of who is there as a page has it. */
class Person {
  #socket;
  #channel;
  #presence;
  #leftAt;
  /** Who was seen to go. */
  leaves = [];
  rejoins = 0;
  /** The longest that this one was away itself. */
  awayMs = 0;

  constructor(n, transport, url) {
    this.room = `presence:rolling-${Math.floor(n / ROOM)}`;
    this.user = `user-${n}`;
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
    this.rejoins = this.awayMs = 0;
  }

  leave() {
    return within("a farewell", new Promise((resolve) => this.#socket.disconnect(resolve))).catch(() => {});
  }
}
