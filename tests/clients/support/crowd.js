// The stock Presence class against the testbed: hundreds of clients come, change, go and come back at random, and in the
// end everyone who is there has the right list.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { loadClient, transportsOf } from "./clients.js";
import { randomOf } from "../hostile/random.js";
import { SEED } from "./seed.js";
import { startTestbed } from "./testbed.js";
import { until } from "./wait.js";
import { outcome } from "./world.js";

/**
 * By transport. Everybody hears of everybody, so the work grows by the square; and a long-poll client that has so much of it that it
 * does not poll for 15 s has lost its session, and what it had pushed.
 */
const crowdOf = ({ name }) => (name === "WebSocket" ? 300 : 100);

/** Clients that do something at the same time. */
const AT_ONCE = 30;

/** Until a long-poll session that was left behind is given up (15 to 17 s), and a loaded machine has told everybody. */
const PATIENCE_MS = 100_000;

export async function crowd(version) {
  const client = await loadClient(version);
  const transports = transportsOf(version, client);
  // One long-poll of each version: the newest way that it has.
  for (const transport of [transports[0], transports.at(-1)]) {
    describe(`presence, phoenix ${version}, ${transport.name}`, () => {
      let testbed;
      before(async () => {
        transport.use();
        testbed = await startTestbed();
      });
      after(() => testbed.stop());
      it(`${crowdOf(transport)} clients end with the right list, seed ${SEED}`, { timeout: 600_000 }, () => run(testbed, client, transport));
    });
  }
}

async function run(testbed, client, transport) {
  const random = randomOf(SEED);
  const crowd = crowdOf(transport);
  const people = Array.from({ length: crowd }, (_, n) => new Person(n, crowd, testbed, client, transport));
  await inBatches(people, (person) => person.come());
  const deeds = ["update", "update", "leave", "come", "reconnect"];
  for (let round = 0; round < 3; round += 1) {
    const chosen = people.filter(() => random.next() < 0.5);
    await inBatches(chosen, (person) => person[random.pick(deeds)](random));
  }
  try {
    const there = people.filter((person) => person.channel);
    const truth = listOf(there.map(({ user, status }) => [user, status]));
    for (const person of there) {
      await until(`the right list at client ${person.n}, seed ${SEED}`, () => same(person.list(), truth), PATIENCE_MS);
    }
    assert.ok(there.length > crowd / 4, "enough of them are there to mean something");
  } finally {
    for (const person of people) person.socket?.disconnect();
  }
}

class Person {
  constructor(n, crowd, testbed, client, { transport }) {
    Object.assign(this, { n, client, transport });
    // Some are there twice, as one person in two tabs.
    this.user = `user-${n % Math.ceil(crowd * 0.8)}`;
    this.url = `ws://127.0.0.1:${testbed.port}/socket`;
  }

  async come() {
    if (this.channel) return;
    if (!this.socket) {
      this.socket = new this.client.Socket(this.url, {
        transport: this.transport,
        params: { user: this.user },
        timeout: PATIENCE_MS,
      });
      this.socket.connect();
    }
    this.channel = this.socket.channel("presence:room");
    this.presence = new this.client.Presence(this.channel);
    this.status = undefined;
    await answered(this.channel.join(), `the join of client ${this.n}`);
  }

  async update(random) {
    if (!this.channel) return;
    this.status = `status-${random.below(1_000)}`;
    await answered(this.channel.push("update", { status: this.status }), `the update of client ${this.n}`);
  }

  async leave() {
    if (!this.channel) return;
    const channel = this.channel;
    this.channel = undefined;
    await answered(channel.leave(), `the leave of client ${this.n}`);
  }

  async reconnect() {
    if (!this.channel) return;
    await new Promise((resolve) => this.socket.disconnect(resolve));
    const rejoined = new Promise((resolve) => this.channel.joinPush.receive("ok", resolve));
    this.status = undefined;
    this.socket.connect();
    await rejoined;
  }

  list() {
    return listOf(this.presence.list((user, { metas }) => metas.map(({ status }) => [user, status])).flat());
  }
}

async function answered(push, what) {
  const { status } = await outcome(push, 2 * PATIENCE_MS);
  assert.equal(status, "ok", `${what}, seed ${SEED}`);
}

/** Statuses by user, in an order that does not depend on who came first. */
function listOf(pairs) {
  return pairs.map(([user, status]) => `${user} ${status ?? "-"}`).sort();
}

const same = (left, right) => left.length === right.length && left.every((line, n) => line === right[n]);

async function inBatches(people, deed) {
  for (let from = 0; from < people.length; from += AT_ONCE) {
    await Promise.all(people.slice(from, from + AT_ONCE).map(deed));
  }
}
