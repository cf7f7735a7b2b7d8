// Attacks on a server whose bounds are the defaults and whose times are short, some seconds each. scripts/attacks has them in full.

import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { kinds } from "./kinds/index.js";
import { attackWith, faultsOf } from "./trial.js";

const TIMES = { alone_ms: 300, ms: 3_000, wait_ms: 2_000, patience_ms: 30_000 };

/** The machine does other things as well: what is to be seen here is a server that stands still. */
const LIMITS = { floor_ms: 100, pings_min: 500 };

describe("attacks", () => {
  const waits = [];
  // What is given back is looked at while the next attack is under way.
  after(() => Promise.allSettled(waits));

  for (const kind of kinds) {
    it(`${kind.what}: little is held, and others are served`, { timeout: 60_000 }, async () => {
      const { result, gaveBack } = await attackWith(kind, { mount: "/socket_short", ...TIMES });
      waits.push(gaveBack.then((after) => ({ result, after })));
      assert.deepEqual(faultsOf(result, { isBack: true }, LIMITS), [], JSON.stringify(result.did));
    });
  }

  it("everything is given back", { timeout: 60_000 }, async () => {
    for (const { result, after } of await Promise.all(waits)) {
      assert.ok(after.isBack, `${result.kind.name}: ${JSON.stringify(after)}`);
    }
  });
});
