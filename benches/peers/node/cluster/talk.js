// Broadcasts at a fixed rate, and who has heard them: each has a number, and each listener counts how often it heard it.

import { performance } from "node:perf_hooks";
import { pause } from "../../../../tests/clients/support/wait.js";
import { Times } from "../../../../tests/cluster/support/times.js";
import { nameOf } from "./servers.js";

const PAYLOAD_BYTES = 128;

/** How often the speakers say what is due. */
const TICK_MS = 10;

/** What has not come when nothing has come for so long is lost. */
const QUIET_MS = 3_000;
const PATIENCE_MS = 60_000;

let talks = 0;

/** One talk of people, each of whom has a `node`, a `topic` and a `client`. The first of a topic on a node speaks. */
export class Talk {
  #number = (talks += 1);
  #people;
  #speakers;
  #total;
  #rate;
  /** By the numbers of the broadcasts: when each was said, in ms, and by whom. */
  #saidAt = [];
  #saidBy = [];
  #received = 0;
  #doubled = 0;
  #disordered = 0;
  /** Milliseconds to a client of the same node, and to one of another. */
  #here = new Times();
  #elsewhere = new Times();

  constructor(people, { rate, seconds }) {
    this.#people = people;
    this.#rate = rate;
    this.#total = rate * seconds;
    const isFirst = (person) => person === people.find(({ node, topic }) => node === person.node && topic === person.topic);
    // Of each topic those of all nodes, so that the nodes take turns.
    this.#speakers = people.filter(isFirst).toSorted((a, b) => a.topic - b.topic || a.node - b.node);
    for (const person of people) {
      Object.assign(person, { counts: new Uint8Array(this.#total), last: new Map(), told: new Set() });
      person.hear = (payload) => this.#hear(person, payload);
    }
  }

  /** Says everything, waits until all is there or lost, and returns the result. `halfway` is called once half is said. */
  async run(halfway = async () => {}) {
    const began = performance.now();
    let half;
    while (this.#saidAt.length < this.#total) {
      await pause(TICK_MS);
      const due = Math.min(this.#total, ((performance.now() - began) / 1_000) * this.#rate);
      while (this.#saidAt.length < due) this.#say();
      if (this.#saidAt.length >= this.#total / 2) half ??= halfway();
    }
    await half;
    await this.#settle();
    return this.#result(half && (await half));
  }

  #say() {
    const id = this.#saidAt.length;
    const speaker = this.#speakers[id % this.#speakers.length];
    const payload = { talk: this.#number, id, pad: "" };
    payload.pad = "x".repeat(PAYLOAD_BYTES - JSON.stringify(payload).length);
    this.#saidAt.push(performance.now());
    this.#saidBy.push(speaker);
    speaker.client.shout(payload);
  }

  #hear(person, { talk, id }) {
    // What was late in the talk before.
    if (talk !== this.#number) return;
    const speaker = this.#saidBy[id];
    const times = speaker.node === person.node ? this.#here : this.#elsewhere;
    times.add(performance.now() - this.#saidAt[id]);
    this.#received += 1;
    if (person.counts[id] > 0) this.#doubled += 1;
    else if (id < (person.last.get(speaker) ?? 0)) this.#disordered += 1;
    else person.last.set(speaker, id);
    person.counts[id] += 1;
  }

  async #settle() {
    const end = performance.now() + PATIENCE_MS;
    let [before, since] = [this.#received, performance.now()];
    while (this.#losses().length > 0 && performance.now() < end && performance.now() - since < QUIET_MS) {
      await pause(50);
      if (this.#received !== before) [before, since] = [this.#received, performance.now()];
    }
  }

  /** What did not come: the number of the broadcast, and whether the client was told that it has lost something. */
  #losses() {
    const losses = [];
    for (const { topic, client, counts, told } of this.#people) {
      this.#saidBy.forEach((speaker, id) => {
        if (speaker.topic !== topic || counts[id] > 0) return;
        losses.push({ id, isTold: client.isClosed || told.has(nameOf(speaker.node)) });
      });
    }
    return losses;
  }

  #result(done) {
    const losses = this.#losses();
    const silent = losses.filter(({ isTold }) => !isTold);
    const ids = [...new Set(silent.map(({ id }) => id))].toSorted((a, b) => a - b);
    const size = (topic) => this.#people.filter((person) => person.topic === topic).length;
    return {
      said: this.#total,
      expected: this.#saidBy.reduce((sum, { topic }) => sum + size(topic), 0),
      received: this.#received,
      lost: silent.length,
      lostBroadcasts: ids.length,
      told: losses.length - silent.length,
      gaps: this.#people.reduce((sum, { told }) => sum + told.size, 0),
      doubled: this.#doubled,
      disordered: this.#disordered,
      closed: this.#people.filter(({ client }) => client.isClosed).length,
      /** Between the first and the last that was lost in silence. */
      lostForMs: ids.length === 0 ? 0 : this.#saidAt[ids.at(-1)] - this.#saidAt[ids[0]],
      here: this.#here.summary(),
      elsewhere: this.#elsewhere.summary(),
      ...done,
    };
  }
}
