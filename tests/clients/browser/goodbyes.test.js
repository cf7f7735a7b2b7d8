// What a page says last, in Chromium.

import { after, before } from "node:test";
import { launchChromium } from "../engines/chromium.js";
import { lastWords } from "../support/lastwords.js";

let browser;
before(async () => {
  browser = await launchChromium();
});
after(() => browser?.close());

async function newPage() {
  const page = await (await browser.newContext()).newPage();
  page.on("pageerror", (error) => console.error("page error:", error));
  return page;
}

lastWords({ name: "chromium", newPage });
