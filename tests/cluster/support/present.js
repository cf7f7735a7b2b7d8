// Clients that are present, and one that watches who is.

import { connect } from "./client.js";

const TOPIC = "presence:cluster";

/** Connections that are made at a time. */
const AT_ONCE = 50;

/** So many people come to a node. Returns their clients. */
export async function come(node, count) {
  const clients = [];
  for (let at = 0; at < count; at += AT_ONCE) {
    const some = Array.from({ length: Math.min(AT_ONCE, count - at) }, async (_, n) => {
      const client = await connect(node, { user: `${node.name}-${at + n}` });
      await client.join(TOPIC);
      return client;
    });
    clients.push(...(await Promise.all(some)));
  }
  return clients;
}

/** Watches from a node. */
export async function watch(node) {
  const client = await connect(node, { user: `watcher-${node.name}` });
  const watcher = new Watcher(client);
  client.hear = (text) => text.includes('"presence_') && watcher.hear(JSON.parse(text));
  await client.join(TOPIC);
  return watcher;
}

class Watcher {
  /** How many metas each key has. */
  #metas = new Map();
  /** Whether the list has come. */
  isSynced = false;
  #waiting = [];
  diffs = 0;
  leaves = 0;
  joins = 0;

  constructor(client) {
    this.client = client;
  }

  hear([, , , event, payload]) {
    if (event === "presence_state") {
      this.isSynced = true;
      this.#metas = new Map(Object.entries(payload).map(([key, { metas }]) => [key, metas.length]));
      this.#waiting.splice(0).forEach((diff) => this.#apply(diff));
    } else if (event === "presence_diff") {
      if (this.isSynced) this.#apply(payload);
      else this.#waiting.push(payload);
    }
  }

  #apply({ joins, leaves }) {
    this.diffs += 1;
    for (const [changes, sign] of [[joins, 1], [leaves, -1]]) {
      for (const [key, { metas }] of Object.entries(changes)) {
        this[sign > 0 ? "joins" : "leaves"] += metas.length;
        const count = (this.#metas.get(key) ?? 0) + sign * metas.length;
        if (count > 0) this.#metas.set(key, count);
        else this.#metas.delete(key);
      }
    }
  }

  /** Begins to count anew. */
  reset() {
    this.diffs = this.leaves = this.joins = 0;
  }

  /** How many of a node are seen. */
  count(node) {
    return [...this.#metas.keys()].filter((key) => key.startsWith(`${node.name}-`)).length;
  }
}
