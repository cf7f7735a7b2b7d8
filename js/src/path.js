// What this page knows of the way to a mount, shared by all its sessions there and kept for the next page.

import { Beat } from "./beat.js";
import { Chooser } from "./chooser.js";
import { recall, remember } from "./memory.js";

const paths = new Map();

/** The knowledge of the way to a mount. */
export function pathTo(key, options) {
  if (!paths.has(key)) paths.set(key, new Path(key, options));
  return paths.get(key);
}

class Path {
  #key;
  #storage;
  #saved;

  constructor(key, { storage, memoryMs, heartbeatMs }) {
    const now = Date.now();
    this.#key = `lapwing:${key}`;
    this.#storage = storage;
    const saved = recall(storage, this.#key, now, memoryMs);
    this.chooser = new Chooser(saved?.chooser);
    this.beats = Object.fromEntries(
      Object.entries(heartbeatMs).map(([name, ms]) => [name, new Beat(ms, now, saved?.beats?.[name])]),
    );
  }

  /** Keeps what is known. */
  save() {
    const { chooser, beats } = this;
    const value = JSON.stringify({ chooser, beats });
    if (value === this.#saved) return;
    this.#saved = value;
    remember(this.#storage, this.#key, Date.now(), { chooser, beats });
  }
}
