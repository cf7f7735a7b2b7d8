// What a page says last, in Chromium.

import { existsSync } from "node:fs";
import { after, before } from "node:test";
import { chromium } from "playwright-core";
import { lastWords } from "../support/lastwords.js";

const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];

let browser;
before(async () => {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  if (!existsSync(executablePath)) throw new Error(`${executablePath} is missing: install Chromium, or set CHROMIUM`);
  browser = await chromium.launch({ executablePath, args });
});
after(() => browser?.close());

async function newPage() {
  const page = await (await browser.newContext()).newPage();
  page.on("pageerror", (error) => console.error("page error:", error));
  return page;
}

lastWords({ name: "chromium", newPage });
