// The client under test in the pages of a Chromium.

import { evaluateIn, launchChromium } from "../engines/chromium.js";
import { serveFiles } from "./files.js";
import { remote } from "./pages.js";

/** A page has room for many clients, each behind proxies of its own. */
const PAGES = 3;

/** Starts the browser, and a server of the files that its pages need. */
export async function startChromium() {
  const files = await serveFiles();
  const browser = await launchChromium();
  const newPage = async (script, proxy) => {
    const context = await browser.newContext({ proxy, ignoreHTTPSErrors: true });
    if (script) await context.addInitScript(script);
    const page = await context.newPage();
    page.on("pageerror", (error) => console.error("page error:", error));
    await page.goto(files.page);
    await page.waitForFunction("window.call");
    return page;
  };
  const pages = await Promise.all(Array.from({ length: PAGES }, () => newPage()));
  let turn = 0;
  return {
    /** What a scenario needs to open clients in pages; with a script, in pages of their own that it has run in before. */
    world(testbed, { script } = {}) {
      const open = async ({ path, options = {}, peer }) => {
        const proxy = path.forward && {
          server: `http://127.0.0.1:${path.forward}`,
          // Else a browser asks no proxy for what is on its own machine.
          bypass: `<-loopback>,127.0.0.1:${files.port}`,
        };
        const page = script || proxy ? await newPage(script, proxy) : pages[(turn += 1) % PAGES];
        return remote(evaluateIn(page), options, peer);
      };
      return { testbed, open };
    },
    async stop() {
      await browser.close();
      await files.stop();
    },
  };
}
