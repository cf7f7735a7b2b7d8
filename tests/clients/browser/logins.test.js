// Logins in a real browser: they end and are renewed, refusals reach the page, and who was sent away for good stays away; with our
// transport and with stock phoenix.js, over HTTP/1.1 and HTTP/2.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { launchChromium } from "../engines/chromium.js";
import { tableOf, wanted } from "../logins/rows.js";
import { openPage } from "../support/page.js";
import { startProxyProgram } from "../support/proxies.js";
import { startTestbed } from "../support/testbed.js";

const TRANSPORTS = ["websocket", "sse", "longpoll"];
/** A quarter of it is what a renewal may take on a busy machine. */
const FIRST_MS = 8_000;
const HOUR = 3_600_000;

describe("logins, in Chromium", { timeout: 600_000 }, () => {
  let testbed, browser, page;
  let users = 0;
  const newUser = () => `user${(users += 1)}`;

  before(async () => {
    testbed = await startTestbed();
    // The certificate of the proxy is made by the test, and trusted by nobody.
    browser = await launchChromium({ args: ["--ignore-certificate-errors"] });
    page = await openPage(browser, `http://${testbed.address}/health`);
  });

  after(async () => {
    await browser?.close();
    await testbed?.stop();
  });

  for (const transport of TRANSPORTS) {
    it(`end a session, and its page can read why, by ${transport}`, async () => {
      assert.equal(await page.evaluate(endOf, { transport, query: `&token=${newUser()}:500` }), "4401 login_expired");
    });

    it(`are renewed in the session before they end, by ${transport}`, async () => {
      const answers = await page.evaluate(renewed, { transport, tokens: [FIRST_MS, HOUR].map((ms) => `bob:${ms}`), pastMs: FIRST_MS + 1_000 });
      assert.deepEqual(answers, ["1"]);
    });

    it(`are refused with a reason, and the same are not sent again, by ${transport}`, async () => {
      for (const [token, end] of [["x", "4401 no token"], ["x:y", "4401 the token has expired"], ["x:barred", "4403 barred from here"]]) {
        const query = `&token=${token}&by=${newUser()}`;
        assert.equal(await page.evaluate(endOf, { transport, query }), end);
        const [again, requests] = await requestsOf(() => page.evaluate(endOf, { transport, query }));
        assert.deepEqual([again, requests], [end, []]);
      }
    });

    it(`are over for good where a client is banned, by ${transport}`, async () => {
      const user = newUser();
      const query = `&token=${user}:forever`;
      assert.equal(await page.evaluate(endOf, { transport, query, ban: `/ban/${user}` }), "4403 banned");
      assert.equal(await page.evaluate(endOf, { transport, query }), "4403 banned");
    });
  }

  /** With phoenix.js: its own transports and ours, over HTTP/1.1 and HTTP/2. */
  describe("with phoenix.js", { concurrency: 4 }, () => {
    const rows = [];
    let proxy;
    before(async () => (proxy = await startProxyProgram("haproxy-http2", testbed.port)));
    after(async () => {
      await proxy?.stop();
      console.log(tableOf(rows));
    });

    for (const version of ["1.7.21", "1.8.16"]) {
      for (const isHttp2 of [false, true]) {
        for (const [transport, isOurs] of [...TRANSPORTS.map((name) => [name, true]), ["websocket", false], ["longpoll", false]]) {
          const who = isOurs ? `lapwing-transport, ${transport}, with phoenix.js ${version}` : `phoenix.js ${version}, ${transport}`;
          const name = `${who}${isHttp2 ? ", HTTP/2" : ""}`;
          it(name, async () => {
            const events = wanted({ version, isOurs, transport });
            // A browser has six connections to a server for all pages of a context.
            const context = await browser.newContext({ ignoreHTTPSErrors: true });
            try {
              const base = isHttp2 ? `https://localhost:${proxy.port}` : `http://${testbed.address}`;
              const own = await openPage(context, `${base}/health`);
              const protocol = await own.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol);
              assert.equal(protocol, isHttp2 ? "h2" : "http/1.1");
              const got = await own.evaluate(rowOf, { version, transport, isOurs, user: newUser(), wanted: events });
              rows.push({ name, events: got });
              assert.deepEqual(got, events);
            } finally {
              await context.close();
            }
          });
        }
      }
    }
  });

  /** What a run gives, and the addresses below the mount that the page asked for meanwhile. */
  async function requestsOf(run) {
    const urls = [];
    const note = (request) => request.url().includes("/socket_login") && urls.push(request.url());
    const noteSocket = (socket) => urls.push(socket.url());
    page.on("request", note).on("websocket", noteSocket);
    const result = await run();
    page.off("request", note).off("websocket", noteSocket);
    return [result, urls];
  }
});

/** In the page: the code and the reason with which a session ends. */
async function endOf({ transport, query, ban }) {
  const { Lapwing } = await import("/client/js/src/index.js");
  const session = new (Lapwing.with({ transports: [transport], storage: null }))(`/socket_login?vsn=2.0.0${query}`);
  if (ban) session.onopen = () => fetch(ban);
  return new Promise((resolve) => (session.onclose = ({ code, reason }) => resolve(`${code} ${reason}`)));
}

/** In the page: the refs of what is answered in a session whose first login is over. */
async function renewed({ transport, tokens, pastMs }) {
  const { Lapwing } = await import("/client/js/src/index.js");
  const begun = performance.now();
  const getToken = async () => tokens.shift();
  const session = new (Lapwing.with({ transports: [transport], storage: null, getToken }))("/socket_login?vsn=2.0.0");
  const answers = [];
  const ended = new Promise((_, reject) => (session.onclose = ({ code, reason }) => reject(new Error(`${code} ${reason}`))));
  const answered = new Promise((resolve) => (session.onmessage = ({ data }) => resolve(answers.push(JSON.parse(data)[1]))));
  await Promise.race([ended, new Promise((resolve) => (session.onopen = resolve))]);
  await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, pastMs - (performance.now() - begun)))]);
  session.send(JSON.stringify([null, "1", "phoenix", "heartbeat", {}]));
  await Promise.race([ended, answered]);
  ended.catch(() => {});
  session.close();
  return answers;
}

/** In the page: what it sees of logins, by one client over one transport. */
async function rowOf({ version, transport, isOurs, user, wanted }) {
  const { Socket, LongPoll } = await import(`/client/node_modules/phoenix-${version}/priv/static/phoenix.mjs`);
  const { Lapwing } = await import("/client/js/src/index.js");
  const { seen } = await import("/client/tests/clients/logins/rows.js");
  const stock = { websocket: WebSocket, longpoll: LongPoll }[transport];
  const make = (options) => (isOurs ? Lapwing.with({ transports: [transport], storage: null, ...options }) : stock);
  return seen({ Socket, url: "/socket_login", transport: make, isOurs, user, ban: (user) => fetch(`/ban/${user}`), wanted });
}
