import { after, before, describe } from "node:test";
import { startTestbed } from "../support/testbed.js";
import { rates } from "./rates.js";
import { nodeWorld } from "./world.js";

describe("a thousand a second, node", () => {
  let testbed;
  before(async () => {
    testbed = await startTestbed();
  });
  after(() => testbed.stop());
  rates(() => nodeWorld(testbed));
});
