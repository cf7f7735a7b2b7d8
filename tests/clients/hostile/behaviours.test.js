import { after, before } from "node:test";
import { startTestbed } from "../support/testbed.js";
import { suite } from "./suite.js";
import { nodeWorld } from "./world.js";

let testbed;
before(async () => {
  testbed = await startTestbed();
});
after(() => testbed.stop());

suite("node", () => nodeWorld(testbed));
