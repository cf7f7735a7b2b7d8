// Clients behind a balancer that gives each request to the next node: sessions of ours on each transport, which lose their connection
// again and again, and stock clients on long-poll.

import { LongPoll, Socket } from "phoenix-1.8.16";
import WebSocket from "ws";
import { Lapwing } from "../../../js/src/index.js";
import { Peer } from "../../clients/hostile/peer.js";
import { wrongs } from "../../clients/hostile/zeros.js";
import { randomOf } from "../../clients/hostile/random.js";
import { startProxyProgram } from "../../clients/support/proxies.js";
import { SEED } from "../../clients/support/seed.js";
import { pause, within } from "../../clients/support/wait.js";
import { startCluster } from "../support/cluster.js";

/** Pairs that connect at a time. */
const AT_ONCE = 20;

/** How long a client keeps a connection: between the two. */
const KEPT_MS = [2_000, 5_000];

/** How long what is under way may take to arrive when the pushing is over. */
const DRAIN_MS = 60_000;

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

export const anywhere = [
  {
    name: "any node",
    what: "each request comes to the next node, and connections last for seconds",
    during: () => {},
    faults: ({ ours, stock }) => [...ours, ...stock],
  },
  {
    name: "any node, engine cut",
    what: "the same, while a node loses its connection to the engine each second",
    inShort: ["nats"],
    mayLose: true,
    async during({ nodes, isOver }) {
      for (let n = 0; !isOver(); n += 1) {
        nodes[n % nodes.length].tap.cut();
        await pause(1_000);
      }
    },
    // Whether the last word of a stock client was heard nobody knows: it is told so by an error, and joins anew.
    faults: ({ ours, silent }) => [...ours, ...silent],
  },
];

/** Runs a kind on an engine: so many clients of each way say so much a second, each to the other one of its pair. */
export async function anywhereTrial(engine, kind, { each, perSecond, ms }) {
  const cluster = await startCluster(engine);
  const balancer = await startProxyProgram("nginx-cluster", cluster.nodes.map(({ port }) => port));
  const url = `ws://127.0.0.1:${balancer.port}/socket`;
  const pairs = Object.keys(ways).flatMap((way) => Array.from({ length: Math.ceil(each / 2) }, (_, n) => new Pair(way, n, url)));
  try {
    await inBatches(pairs, (pair) => pair.connect());
    let isOver = false;
    const over = pause(ms).then(() => (isOver = true));
    pairs.forEach((pair, n) => pair.begin(perSecond, randomOf(SEED + n), () => isOver));
    await Promise.all([over, kind.during({ nodes: cluster.nodes, isOver: () => isOver })]);
    const end = Date.now() + DRAIN_MS;
    pairs.forEach((pair) => pair.rest());
    const awaited = pairs.filter((pair) => pair.isOurs || !kind.mayLose);
    while (Date.now() < end && awaited.some((pair) => pair.missing() > 0)) await pause(50);
    const stats = await Promise.all(cluster.nodes.map((node) => node.stats()));
    const [ours, stock] = [pairs.filter((pair) => pair.isOurs), pairs.filter((pair) => !pair.isOurs)];
    const lost = stock.filter((pair) => pair.missing() > 0);
    const silent = lost.filter((pair) => !pair.wasTold()).map((pair) => `${pair.missing()} messages of a stock client are lost in silence`);
    const did = { clients: 2 * pairs.length, ...countsOf(pairs), stock_lost: sum(lost, (pair) => pair.missing()) };
    const faults = kind.faults({ ours: wrongsOf(ours), stock: wrongsOf(stock), silent });
    if (stats.some(({ sessions }) => sessions === 0)) faults.push("a node had no session");
    if (pairs.some((pair) => pair.isOurs && pair.resumes() === 0)) faults.push("a session was never carried on");
    return { did, faults };
  } finally {
    await Promise.all(pairs.map((pair) => pair.leave()));
    await balancer.stop();
    await cluster.stop();
  }
}

/** Two clients in a room, who say numbered things to each other. */
class Pair {
  #clients;

  constructor(way, n, url) {
    this.isOurs = way !== "stock";
    const topic = `${way}-${n}`;
    const client = (user, other) =>
      new Peer({ Socket, transport: ways[way](), url, user: `${topic}-${user}`, other: `${topic}-${other}`, topic, stock: { timeout: TIMEOUT_MS } });
    this.#clients = [client("one", "two"), client("two", "one")];
  }

  async connect() {
    for (const client of this.#clients) await within("the joins", client.connect(), TIMEOUT_MS);
  }

  begin(perSecond, random, isOver) {
    for (const client of this.#clients) {
      client.push(perSecond);
      if (this.isOurs) void wander(client, random, isOver);
    }
  }

  rest() {
    this.#clients.forEach((client) => client.rest());
  }

  records() {
    const [observer, client] = this.#clients.map((client) => client.record());
    return { client, observer };
  }

  /** How much has not arrived. */
  missing() {
    const { client, observer } = this.records();
    const under = (from, to) => from.sent - to.messages.taken + from.asked - from.replies.taken;
    return under(client, observer) + under(observer, client);
  }

  resumes() {
    return Math.min(...this.#clients.map((client) => client.status()?.resumes ?? 0));
  }

  /** Whether either has heard that its connection is lost. */
  wasTold() {
    return Object.values(this.records()).some(({ errors, closes }) => errors + closes > 0);
  }

  /** What is wrong from the view of each: the second came when the first was there. */
  wrongs() {
    const { client, observer } = this.records();
    const first = wrongs({ client: observer, observer: client }).filter((wrong) => !wrong.startsWith("presence"));
    return [...new Set([...wrongs({ client, observer }), ...first])];
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
    client.deed("cut");
  }
}

/** What was wrong, each with how many pairs it was so for. */
function wrongsOf(pairs) {
  const counts = new Map();
  for (const pair of pairs) for (const wrong of pair.wrongs()) counts.set(wrong, (counts.get(wrong) ?? 0) + 1);
  return [...counts].map(([wrong, count]) => `${wrong} (${count} pairs)`);
}

function countsOf(pairs) {
  const records = pairs.flatMap((pair) => Object.values(pair.records()));
  return {
    said: sum(records, ({ sent }) => sent),
    heard: sum(records, ({ messages }) => messages.taken),
    answered: sum(records, ({ replies }) => replies.taken),
    resumes: sum(pairs.filter((pair) => pair.isOurs), (pair) => pair.resumes()),
    worst_ms: Math.max(...records.map(({ messages }) => messages.worstMs)),
  };
}

const sum = (list, what) => list.reduce((sum, one) => sum + what(one), 0);

async function inBatches(pairs, deed) {
  for (let from = 0; from < pairs.length; from += AT_ONCE) await Promise.all(pairs.slice(from, from + AT_ONCE).map(deed));
}
