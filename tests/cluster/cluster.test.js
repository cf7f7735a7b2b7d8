// Clusters under load and faults, in small. scripts/cluster-load has the full numbers.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SHORT, kinds } from "./kinds/index.js";
import { engines } from "./support/engine.js";

/** They mostly wait; each is a dozen processes. */
const AT_ONCE = 2;

const isInShort = ({ inShort = engines, engines: able = engines }, engine) => inShort.includes(engine) && able.includes(engine);

for (const engine of engines) {
  describe(`a cluster on ${engine}`, { concurrency: AT_ONCE }, () => {
    for (const { group, name, what, run } of kinds.filter((kind) => isInShort(kind, engine))) {
      it(`${group}, ${name}: ${what}`, { timeout: 240_000 }, async () => {
        const { faults, ...seen } = await run(engine, SHORT);
        assert.deepEqual(faults, [], JSON.stringify(seen));
      });
    }
  });
}
