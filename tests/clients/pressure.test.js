// Large messages to all kinds of clients that read: nobody is closed. `node tests/clients/pressure/report.js` does it for a minute.

import assert from "node:assert/strict";
import { it } from "node:test";
import { faultsOf, stream } from "./pressure/stream.js";

it("thirty messages of 300 KB reach every client by every way, in order, and nobody is closed", { timeout: 240_000 }, async () => {
  // More than may wait unacknowledged, and less than is acknowledged by its number.
  const run = await stream({ count: 30, bytes: 300_000, everyMs: 100 });
  assert.deepEqual(faultsOf(run, 30), []);
});
