// One measurement: a fresh Redis, three fresh nodes, their clients, and so many seconds of broadcasts.

import { loadavg } from "node:os";
import { createClient } from "redis";
import { cpuOf } from "./cpu.js";
import { engine, kinds, startCluster } from "./servers.js";
import { Talk } from "./talk.js";

const CLIENTS_PER_NODE = 100;
const TOPICS = 10;

/** Connections that are made at a time. */
const AT_ONCE = 50;

/** The talk before the one that counts: nodes find each other, and programs get warm. */
const WARM_UP_SECONDS = 2;
const WARM_UPS_MAX = 10;

/** With `cut` the engine ends all connections once, halfway. */
export async function trial(kind, { rate, seconds, cut }) {
  const load = loadavg()[0];
  const cluster = await startCluster(kind);
  const people = [];
  try {
    await gather(kind, cluster, people);
    await warmUp(people, rate);
    const { nodes, redis } = cluster;
    const cpu = () => [nodes.reduce((sum, { pid }) => sum + cpuOf(pid), 0), cpuOf(redis.pid)];
    const before = cpu();
    const result = await new Talk(people, { rate, seconds }).run(cut ? cutAll : undefined);
    if (nodes.some((node) => node.hasEnded())) throw new Error("a node has ended");
    if (result.received === 0) throw new Error("nobody has heard anything");
    const [ofNodes, ofRedis] = cpu().map((time, n) => time - before[n]);
    return { ...result, load, perDelivery: ofNodes / result.received, perBroadcast: ofRedis / result.said };
  } finally {
    for (const { client } of people) client.close();
    await cluster.stop();
  }
}

/** Connects everybody: each topic has the same number on each node. */
async function gather(kind, { nodes }, people) {
  const places = nodes.flatMap(({ port }, node) =>
    Array.from({ length: CLIENTS_PER_NODE }, (_, n) => ({ port, node, topic: n % TOPICS })),
  );
  const come = async ({ port, ...person }) => {
    const ears = { hear: (payload) => person.hear?.(payload), told: (node) => person.told?.add(node) };
    person.client = await kinds[kind].connect(port, `room:${person.topic}`, ears);
    people.push(person);
  };
  for (let at = 0; at < places.length; at += AT_ONCE) await Promise.all(places.slice(at, at + AT_ONCE).map(come));
}

async function warmUp(people, rate) {
  for (let n = 0; n < WARM_UPS_MAX; n += 1) {
    const { lost, told } = await new Talk(people, { rate, seconds: WARM_UP_SECONDS }).run();
    if (lost + told === 0) return;
  }
  throw new Error("the nodes do not hear each other");
}

/** The engine ends the connections of all nodes. */
async function cutAll() {
  const client = createClient({ url: engine });
  await client.connect();
  try {
    // Both at once, or a node would be back between them, and be cut twice.
    const counts = await Promise.all(["pubsub", "normal"].map((type) => client.sendCommand(["CLIENT", "KILL", "TYPE", type])));
    const cutConnections = counts.reduce((sum, count) => sum + count, 0);
    if (cutConnections === 0) throw new Error("the engine has ended no connection");
    return { cutConnections };
  } finally {
    client.destroy();
  }
}
