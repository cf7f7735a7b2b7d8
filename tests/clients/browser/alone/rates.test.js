// A thousand messages a second each way, in a real browser. It takes more than half of a machine of two cores: beside others a page that is late
// has ever more to catch up with.

import { after, before, describe } from "node:test";
import { startChromium } from "../../hostile/chromium.js";
import { rates } from "../../hostile/rates.js";
import { startTestbed } from "../../support/testbed.js";

let chromium;
let testbed;
before(async () => {
  [testbed, chromium] = await Promise.all([startTestbed(), startChromium()]);
});
after(async () => {
  await chromium?.stop();
  await testbed?.stop();
});

describe("a thousand a second, chromium", () => rates(() => chromium.world(testbed)));
