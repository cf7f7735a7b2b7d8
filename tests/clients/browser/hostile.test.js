// The scenarios of hostile networks in a real browser.

import { after, before, describe } from "node:test";
import { startChromium } from "../hostile/chromium.js";
import { restarts, secrets } from "../hostile/restarts.js";
import { suite } from "../hostile/suite.js";
import { startTestbed } from "../support/testbed.js";

/** As in a browser of before 2017, or one whose bodies an extension reads first. */
const withoutStreams = "delete window.ReadableStream";

let chromium;
let testbed;
before(async () => {
  [testbed, chromium] = await Promise.all([startTestbed(), startChromium()]);
});
after(async () => {
  await chromium?.stop();
  await testbed?.stop();
});

describe("restarts and secrets, chromium", { concurrency: 4 }, () => {
  restarts(() => chromium.world(testbed));
  secrets(() => chromium.world(testbed));
  const paths = [/\/websocket\?/, /\/sse\?.*&ticket=/, /\/longpoll\?/];
  secrets(() => chromium.world(testbed, { script: withoutStreams }), { how: ", nor with an EventSource", paths });
});

suite("chromium", () => chromium.world(testbed));
