// People in rooms, with the lists of who is there as pages have them.

import { Presence, Socket } from "phoenix-1.8.16";
import WebSocket from "ws";
import { Lapwing } from "../../../js/src/index.js";
import { until, within } from "../../clients/support/wait.js";
import { serve } from "./thread.js";

/** How long an answer may take: what is slow here is the machine. */
const PATIENCE_MS = 120_000;

/** Those of a room that come at a time, so that two rooms are half as many again. */
const AT_ONCE = 12;

/** How often somebody of each room says something. */
const SAY_EVERY_MS = 250;

const ours = Lapwing.with({ WebSocket, storage: null, transports: ["websocket"], attemptMs: 20_000 });

/** What a thread has of them: whole rooms. */
class People {
  #rooms;
  #speaking;

  /** `rooms` are lists of people: a number for each, and whether it is one of ours. */
  constructor(url, rooms) {
    this.#rooms = rooms.map(({ name, people }) => people.map(({ n, isOurs }) => new Person(n, name, isOurs, url)));
  }

  get #all() {
    return this.#rooms.flat();
  }

  async come() {
    for (let from = 0; from < this.#all.length; from += AT_ONCE) {
      await Promise.all(this.#all.slice(from, from + AT_ONCE).map((person) => person.come()));
    }
  }

  /** Waits until everybody sees everybody of their room, each once. */
  async seeEachOther() {
    const isWhole = () => this.#rooms.every((room) => room.every((person) => person.sees(room)));
    await until("everybody sees everybody", isWhole, PATIENCE_MS);
  }

  /** Begins to count anew, and to speak: one of ours in each room. */
  begin() {
    this.#all.forEach((person) => person.reset());
    const speakers = this.#rooms.map(speakerOf).filter(Boolean);
    this.#speaking = setInterval(() => speakers.forEach((person) => person.say()), SAY_EVERY_MS);
  }

  /** Speaks no more, and waits until all of ours have heard all. */
  async end() {
    clearInterval(this.#speaking);
    const hasAll = (room) => room.every(({ isOurs, heard }) => !isOurs || heard.at(-1)?.n === speakerOf(room).said);
    await until("everybody of ours has heard all", () => this.#rooms.every(hasAll), PATIENCE_MS);
  }

  /** What each has seen. */
  records() {
    return this.#all.map(({ user, isOurs, rejoins, awayMs, leaves, heard }) => ({ user, isOurs, rejoins, awayMs, leaves, heard }));
  }

  async leave() {
    clearInterval(this.#speaking);
    await Promise.all(this.#all.map((person) => person.leave()));
  }
}

const speakerOf = (room) => room.find(({ isOurs }) => isOurs);

/** Somebody in a room. */
class Person {
  #room;
  #socket;
  #channel;
  #presence;
  /** Who is there: how often each. Nothing while it must be read anew: to read all lists all the time would keep the thread busy. */
  #there;
  /** Where it is spoken. */
  #talk;
  #leftAt;
  /** What was heard: when it was said, and how late it came. */
  heard = [];
  said = 0;
  /** Who was seen to go. */
  leaves = [];
  rejoins = 0;
  /** The longest that this one was away itself. */
  awayMs = 0;

  constructor(n, room, isOurs, url) {
    this.#room = room;
    this.user = `user-${n}`;
    this.isOurs = isOurs;
    this.#socket = new Socket(url, { transport: isOurs ? ours : WebSocket, params: { user: this.user }, timeout: PATIENCE_MS });
    this.#socket.onClose(() => (this.#leftAt ??= performance.now()));
  }

  async come() {
    this.#socket.connect();
    this.#channel = this.#socket.channel(`presence:${this.#room}`);
    this.#presence = new Presence(this.#channel);
    this.#presence.onLeave((user, { metas }) => metas.length === 0 && this.leaves.push(user));
    this.#presence.onSync(() => (this.#there = undefined));
    const joined = new Promise((resolve) => this.#channel.join().receive("ok", () => resolve(this.#handleJoined())));
    await within(`the join of ${this.user}`, joined, PATIENCE_MS);
    this.#talk = this.#socket.channel(`room:${this.#room}`);
    this.#talk.on("shout", ({ n, at }) => this.heard.push({ n, at, ms: Date.now() - at }));
    await within(`the talk of ${this.user}`, new Promise((resolve) => this.#talk.join().receive("ok", resolve)), PATIENCE_MS);
  }

  say() {
    this.said += 1;
    this.#talk.push("shout", { n: this.said, at: Date.now() });
  }

  #handleJoined() {
    this.rejoins += 1;
    if (this.#leftAt !== undefined) this.awayMs = Math.max(this.awayMs, performance.now() - this.#leftAt);
    this.#leftAt = undefined;
  }

  /** Whether exactly these are there, each once. */
  sees(people) {
    this.#there ??= new Map(this.#presence.list((user, { metas }) => [user, metas.length]));
    return this.#there.size === people.length && people.every(({ user }) => this.#there.get(user) === 1);
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

await serve((url, rooms) => new People(url, rooms));
