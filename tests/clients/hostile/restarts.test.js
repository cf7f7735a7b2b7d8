import { after, before, describe } from "node:test";
import { startTestbed } from "../support/testbed.js";
import { restarts, secrets } from "./restarts.js";
import { nodeWorld } from "./world.js";

describe("restarts and secrets, node", { concurrency: 3 }, () => {
  let testbed;
  before(async () => {
    testbed = await startTestbed();
  });
  after(() => testbed.stop());
  restarts(() => nodeWorld(testbed));
  secrets(() => nodeWorld(testbed));
});
