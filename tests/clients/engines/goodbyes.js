// A page that goes says so: others see its user leave at once, not after the window of the session.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { openPage, remote } from "../hostile/pages.js";
import { observe } from "../hostile/scenario.js";
import { until, within } from "../support/wait.js";

/** The window of a session is a minute: whoever is seen to leave before half of it has said so. */
const LEAVE_MS = 30_000;

/** Its pages share one driver, and the machine with all else. */
const CONCURRENCY = 3;

const transports = ["websocket", "sse", "longpoll"];

/** How a page goes. */
const ways = {
  "is closed": (page) => page.close(),
  "goes elsewhere": (page, elsewhere) => page.goto(elsewhere),
  "is loaded anew": (page) => page.reload(),
};

/** Who keeps the session, and how its page may go for good. */
const clients = {
  "phoenix.js": {
    ways: Object.keys(ways),
    start: (page, peer, transport) => remote(page.evaluate, { transports: [transport] }, peer).then((it) => it.connect()),
  },
  "a session alone": {
    // A page that goes elsewhere may be kept, and its session with it, until it comes back.
    ways: ["is closed", "is loaded anew"],
    start: (page, { url, user, topic }, transport) =>
      page.evaluate(join, { url: `${url}/websocket?vsn=2.0.0&user=${user}`, topic: `presence:${topic}`, transport }),
  },
};

export function goodbyes(engine) {
  describe(`goodbyes, ${engine.name}`, { concurrency: CONCURRENCY }, () => {
    for (const [client, { start, ways: hows }] of Object.entries(clients)) {
      for (const transport of transports) {
        for (const how of hows) {
          const go = ways[how];
          const name = `${client} on ${transport} says goodbye when its page ${how}`;
          it(name, { timeout: 90_000 }, () => seenToLeave(engine, { name, transport, start, go }));
        }
      }
    }
  });
}

async function seenToLeave({ testbed, browser, files }, { name, transport, start, go }) {
  const topic = name.replaceAll(/\W+/g, "-");
  const observer = observe(testbed, topic);
  const page = await openPage(browser, files);
  try {
    await within("the observer", observer.connect());
    const peer = { url: `ws://127.0.0.1:${testbed.port}/socket`, user: "client", other: "observer", topic };
    await within("the joins", start(page, peer, transport));
    await until("the client is seen", () => observer.record().presences === 1);
    await go(page, files.elsewhere);
    await until("the client is seen to leave", () => observer.record().presences === 2, LEAVE_MS);
    assert.equal(observer.record().channelErrors, 0);
  } finally {
    await observer.leave();
    // It may be closed already.
    await page.close().catch(() => {});
  }
}

/** In the page: a session without phoenix.js joins a topic. */
async function join({ url, topic, transport }) {
  const { Lapwing } = await import("/js/src/index.js");
  const session = new (Lapwing.with({ transports: [transport] }))(url);
  await new Promise((resolve) => (session.onopen = resolve));
  const joined = new Promise((resolve) => (session.onmessage = resolve));
  session.send(JSON.stringify(["1", "1", topic, "phx_join", {}]));
  await joined;
}
