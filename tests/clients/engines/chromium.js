// Chromium, by playwright.

import { chromium } from "playwright-core";
import { findBrowser } from "../support/browsers.js";
import { expressionOf } from "./expression.js";

export const quiet = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts Chromium. `args` come on top of those that keep it quiet; other options are playwright's. */
export function launchChromium({ args = [], ...options } = {}) {
  return chromium.launch({ executablePath: findBrowser("chromium"), args: [...quiet, ...args], ...options });
}

/** Runs functions in a page of playwright's. */
export function evaluateIn(page) {
  return async (run, ...args) => JSON.parse(await page.evaluate(expressionOf(run, args)));
}

export async function startChromiumEngine() {
  // Playwright turns the cache off, since few tests can do with it.
  const browser = await launchChromium({ ignoreDefaultArgs: ["--disable-back-forward-cache"] });
  const context = await browser.newContext();
  return {
    async newPage() {
      const page = await context.newPage();
      page.on("pageerror", (error) => console.error("page error:", error));
      return {
        goto: (url) => page.goto(url),
        reload: () => page.reload(),
        // Playwright would wait for a page that is loaded anew, and this one comes out of the cache.
        back: () => page.evaluate("void setTimeout(() => history.back())"),
        evaluate: evaluateIn(page),
        close: () => page.close({ runBeforeUnload: false }),
      };
    },
    stop: () => browser.close(),
  };
}
