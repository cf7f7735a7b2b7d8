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

export class Watcher {
  /** The references of each key's metas. A diff may say again what the list has said: a reference is there once. */
  #references = new Map();
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
      this.#references = new Map(Object.entries(payload).map(([key, { metas }]) => [key, new Set(metas.map(({ phx_ref }) => phx_ref))]));
      this.#waiting.splice(0).forEach((diff) => this.#apply(diff));
    } else if (event === "presence_diff") {
      if (this.isSynced) this.#apply(payload);
      else this.#waiting.push(payload);
    }
  }

  #apply({ joins, leaves }) {
    this.diffs += 1;
    for (const [key, { metas }] of Object.entries(joins)) {
      this.joins += metas.length;
      const references = this.#references.get(key) ?? new Set();
      for (const { phx_ref } of metas) references.add(phx_ref);
      this.#references.set(key, references);
    }
    for (const [key, { metas }] of Object.entries(leaves)) {
      this.leaves += metas.length;
      const references = this.#references.get(key);
      for (const { phx_ref } of metas) references?.delete(phx_ref);
      if (references?.size === 0) this.#references.delete(key);
    }
  }

  /** Begins to count anew. */
  reset() {
    this.diffs = this.leaves = this.joins = 0;
  }

  /** How many of a node are seen. */
  count(node) {
    return [...this.#references.keys()].filter((key) => key.startsWith(`${node.name}-`)).length;
  }
}
