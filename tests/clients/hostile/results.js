// What the runs have seen, left for scripts/guarantees to make a table of.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../support/testbed.js";

/** Where the results of a platform are: `node` or `chromium`. */
export function resultsPath(platform) {
  return join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "guarantees", `${platform}.json`);
}

/** The results of one platform. A row without a part has not seen that part succeed. */
export class Results {
  #platform;
  #rows = new Map();

  constructor(platform) {
    this.#platform = platform;
  }

  /** Adds what one scenario has seen of a behaviour. */
  add(name, part) {
    this.#rows.set(name, { ...this.#rows.get(name), ...part });
  }

  save() {
    // A run of other tests alone has seen nothing.
    if (this.#rows.size === 0) return;
    const path = resultsPath(this.#platform);
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, `${JSON.stringify(Object.fromEntries(this.#rows), null, 2)}\n`);
  }
}
