// Clients behind a balancer that gives each request to the next node: sessions of ours on each transport, which lose their connection
// again and again, and stock clients on long-poll.

import { startProxyProgram } from "../../clients/support/proxies.js";
import { SEED } from "../../clients/support/seed.js";
import { pause } from "../../clients/support/wait.js";
import { startCluster } from "../support/cluster.js";
import { startPairs } from "../support/pairs.js";

/** How long what is under way may take to arrive when the pushing is over. */
const DRAIN_MS = 60_000;

/** What carries the clients of a pair. */
const WAYS = ["websocket", "sse", "longpoll", "stock"];

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
  const numbers = Array.from({ length: Math.ceil(each / 2) }, (_, n) => n);
  const all = WAYS.flatMap((way) => numbers.map((n) => ({ way, n }))).map((pair, at) => ({ ...pair, seed: SEED + at }));
  const pairs = await startPairs(`ws://127.0.0.1:${balancer.port}/socket`, all);
  try {
    await pairs.connect();
    let isOver = false;
    const over = pause(ms).then(() => (isOver = true));
    await pairs.begin(perSecond);
    await Promise.all([over, kind.during({ nodes: cluster.nodes, isOver: () => isOver })]);
    await pairs.rest();
    const seen = await drained(pairs, kind);
    const stats = await Promise.all(cluster.nodes.map((node) => node.stats()));
    const [ours, stock] = [seen.filter(({ isOurs }) => isOurs), seen.filter(({ isOurs }) => !isOurs)];
    const lost = stock.filter(({ missing }) => missing > 0);
    const silent = lost.filter(({ wasTold }) => !wasTold).map(({ missing }) => `${missing} messages of a stock client are lost in silence`);
    const did = { clients: 2 * seen.length, ...countsOf(seen), stock_lost: sum(lost, ({ missing }) => missing) };
    const faults = kind.faults({ ours: wrongsOf(ours), stock: wrongsOf(stock), silent });
    if (stats.some(({ sessions }) => sessions === 0)) faults.push("a node had no session");
    if (ours.some(({ resumes }) => Math.min(...resumes) === 0)) faults.push("a session was never carried on");
    return { did, faults };
  } finally {
    await pairs.leave();
    await balancer.stop();
    await cluster.stop();
  }
}

/** Waits until what is under way has arrived. Returns what each pair has seen then. */
async function drained(pairs, { mayLose }) {
  for (const end = Date.now() + DRAIN_MS; ; await pause(100)) {
    const seen = await pairs.seen();
    const isThere = seen.every(({ isOurs, missing }) => missing === 0 || (mayLose && !isOurs));
    if (isThere || Date.now() > end) return seen;
  }
}

/** What was wrong, each with how many pairs it was so for. */
function wrongsOf(pairs) {
  const counts = new Map();
  for (const { wrongs } of pairs) for (const wrong of wrongs) counts.set(wrong, (counts.get(wrong) ?? 0) + 1);
  return [...counts].map(([wrong, count]) => `${wrong} (${count} pairs)`);
}

function countsOf(pairs) {
  return {
    said: sum(pairs, ({ said }) => said),
    heard: sum(pairs, ({ heard }) => heard),
    answered: sum(pairs, ({ answered }) => answered),
    resumes: sum(pairs, ({ resumes: [one, two] }) => one + two),
    worst_ms: Math.max(...pairs.map(({ worstMs }) => worstMs)),
  };
}

const sum = (list, what) => list.reduce((sum, one) => sum + what(one), 0);
