// The inspector in a real browser, over sessions of all kinds.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Socket } from "phoenix-1.8.16";
import WebSocket from "ws";
import { Lapwing } from "../../../js/src/index.js";
import { launchChromium } from "../engines/chromium.js";
import { startPath } from "../hostile/path.js";
import { axeFaults } from "../support/axe.js";
import { root, startTestbed } from "../support/testbed.js";
import { until, within } from "../support/wait.js";

const output = join(root, "tests/output");
const KEY = "a key that is long enough";
const STRANGE = "<b>strange</b>\n\u001b[2J";
const SECRET = "nobody's business";
const SECRET_PARAM = "one-two-three-four";
const API_KEY = "another-key-that-is-long-enough";
/** What makes tokens of logins nobody else's business: for how many milliseconds they are good. */
const LOGINS = ["987654321", "987654322"];

/** What stands between a page and the server, and what the inspector says of it. */
const NETWORKS = [
  ["the upgrade is refused", [{ refuse_upgrade: 403 }], "websocket closed", "websocket_fails"],
  ["the upgrade is swallowed", ["swallow_upgrade"], "websocket silent", "websocket_unanswered"],
  ["event streams are mute", ["strip_upgrade", "mute_event_streams"], "sse silent", "stream_unanswered"],
];

const looks = [
  ["light", { colorScheme: "light", viewport: { width: 1100, height: 800 } }],
  ["dark-phone", { colorScheme: "dark", viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }],
];

describe("the inspector", { timeout: 300_000 }, () => {
  let testbed, browser, page;
  const sockets = [];
  const faults = [];

  before(async () => {
    mkdirSync(output, { recursive: true });
    testbed = await startTestbed({ env: { INSPECT_KEY: KEY, API_KEY, RUST_LOG: "info,lapwing=trace,lapwing_transports=trace,lapwing_inspector=trace" } });
    browser = await launchChromium();
    page = await open({});
    for (const [n, transports] of [["websocket"], ["sse"], ["longpoll"]].entries()) {
      for (let one = 0; one < 20; one += 1) connect(`person${20 * n + one}`, { transports });
    }
    connect(STRANGE, {}, ["room:<img src=x onerror=alert(1)>", "kept:news", "presence:hall"]);
    let joins;
    const areThere = async () => ({ joins } = JSON.parse(await testbed.fetch("/stats"))).joins === 63;
    await until("all sessions", areThere, 120_000).catch((error) => assert.fail(`${error.message}: ${joins} joins`));
    const { channels } = sockets.at(-1);
    await within("an answer", pushed(channels[1], "shout", { text: SECRET }));
  });

  after(async () => {
    for (const socket of sockets) socket.disconnect();
    await browser?.close();
    await testbed?.stop();
  });

  async function open(options) {
    const context = await browser.newContext({ httpCredentials: { username: "anybody", password: KEY }, bypassCSP: options.bypassCSP, ...options });
    const opened = await context.newPage();
    opened.on("console", (message) => message.type() === "error" && faults.push(message.text()));
    opened.on("pageerror", (error) => faults.push(String(error)));
    opened.on("dialog", (dialog) => faults.push(`a dialog: ${dialog.message()}`));
    return opened;
  }

  function connect(user, options, topics = ["room:lobby"], port = testbed.port) {
    const transport = Lapwing.with({ WebSocket, ...options });
    const socket = new Socket(`ws://127.0.0.1:${port}/socket`, { transport, params: { user } });
    socket.connect();
    for (const topic of topics) socket.channel(topic, {}).join();
    sockets.push(socket);
    return socket;
  }

  const visit = (hash, of = page) => of.goto(`http://${testbed.address}/inspect#/${hash}`);

  it("is for nobody without the key", async () => {
    for (const path of ["", "/overview", "/sessions", "/trace?topic=room:lobby"]) {
      const response = await fetch(`http://${testbed.address}/inspect${path}`);
      assert.deepEqual([response.status, await response.text()], [401, "the inspector asks for its key"], path);
    }
  });

  it("shows how many there are, by what carries them", async () => {
    await visit("");
    const figure = (name) => page.locator("figure", { hasText: name }).locator("strong");
    for (const [name, text] of [["sessions", "61"], ["over WebSocket", "21"], ["over event streams", "20"], ["by long-poll", "20"]]) {
      await figure(name).getByText(text, { exact: true }).waitFor();
    }
  });

  it("finds a session, and tells its life", async () => {
    await visit("sessions");
    await page.getByText("61 found").waitFor();
    await page.getByText("page 1 of 2").waitFor();
    await page.getByRole("link", { name: "Next" }).click();
    await page.getByText("page 2 of 2").waitFor();
    for (const [words, count] of [["long-poll", 20], ["an event stream", 20], ["away", 0]]) {
      await page.getByRole("searchbox").fill(words);
      await page.getByRole("button", { name: "Show" }).click();
      await page.getByText(`${count} found`, { exact: true }).waitFor();
    }
    await page.locator("main").getByRole("searchbox").fill("person41");
    await page.getByRole("button", { name: "Show" }).click();
    await page.getByText("1 found", { exact: true }).waitFor();
    await page.locator("td a").first().click();
    await page.getByText("its page has told of no failure: it was told to use long-poll, or prefers it").waitFor();
    await visit("nothing");
    await page.getByText("There is no such page").waitFor();
    await visit("sessions");
    await page.getByRole("searchbox").fill("strange");
    await page.getByRole("button", { name: "Show" }).click();
    await page.getByText("1 found", { exact: true }).waitFor();
    await page.locator("td a").first().click();
    // A client whose answer was late has joined again.
    await page.locator(".life li", { hasText: 'Joined "room:<img src=x onerror=alert(1)>"' }).first().waitFor();
    const text = await page.locator("main").textContent();
    assert.ok(text.includes("user:<b>strange</b>\\u{a}\\u{1b}[2J"), text);
    assert.equal(await page.locator("main b, main img").count(), 0);
  });

  it("shows a topic with its members, presences and history, and no payload", async () => {
    await visit("topic/kept%3Anews");
    await page.locator("td", { hasText: "shout" }).waitFor();
    await visit("topic/presence%3Ahall");
    await page.getByText(/Present\s*1 key, 1 presence/).waitFor();
    await visit("topics");
    await page.locator("tr", { hasText: "room:lobby" }).getByText("60").waitFor();
    for (const path of ["overview", "sessions", "topics", "topic?name=kept%3Anews", "session?id=1"]) {
      const response = await fetch(`http://${testbed.address}/inspect/${path}`, { headers: { authorization: `Bearer ${KEY}` } });
      const text = await response.text();
      assert.ok(!text.includes(SECRET) && text.length < 1_000_000, path);
    }
  });

  it("counts what is said on a topic", async () => {
    const [channel] = sockets[0].channels;
    const talking = setInterval(() => channel.push("shout", { text: SECRET }), 100);
    await visit("topic/room%3Alobby");
    await page.locator("dd", { hasText: /^(?!0\.0)[0-9.]+ a second, over \d+ s$/ }).waitFor().finally(() => clearInterval(talking));
  });

  it("shows no token, ticket or parameter, and neither do metrics and the log", async () => {
    const http = (lines) => fetch(`http://${testbed.address}/socket/sse?lapwing=1&vsn=2.0.0&user=discreet&pin=${SECRET_PARAM}`, { method: "POST", body: lines, headers: { "content-type": "text/plain" } });
    const trace = await fetch(`http://${testbed.address}/inspect/trace?user=user:discreet`, { headers: { authorization: `Bearer ${KEY}` } });
    const reader = trace.body.pipeThrough(new TextDecoderStream()).getReader();
    let traced = (await within("a trace", reader.read())).value;
    const stream = await within("a stream", http("!open 30000"));
    const lines = stream.body.pipeThrough(new TextDecoderStream()).getReader();
    let greeting = "";
    while (!/!opened \S+ /.test(greeting)) greeting += (await within("a greeting", lines.read())).value;
    const [, token] = /!opened (\S+) /.exec(greeting);
    const ticket = (await (await http(`!ticket\n!resume ${token} 0 30000`)).text()).trim().split(" ")[1];
    await http(`!send ${token}\n!from 1\n${JSON.stringify(["1", "1", "room:discreet", "phx_join", { pin: SECRET_PARAM }])}`);
    while (!traced.includes("joined")) traced += (await within("a join in the trace", reader.read())).value;
    assert.ok(token.length === 38 && ticket.length > 20, `${token} ${ticket}`);
    const polled = await useLogins();
    await publish();
    const { rows } = await shownOf("sessions?search=discreet");
    const [{ id }] = rows.filter(({ mount }) => mount.name === "/socket");
    assert.equal(rows.length, 2);
    const shown = [traced, testbed.log(), await testbed.fetch("/metrics"), await testbed.fetch("/stats")];
    for (const path of ["", "overview", "sessions", `session?id=${id}`, "topics", "topic?name=room%3Adiscreet"]) {
      const response = await fetch(`http://${testbed.address}/inspect/${path}`, { headers: { authorization: `Bearer ${KEY}` } });
      shown.push(await response.text());
    }
    assert.ok(shown.some((text) => text.includes("room:discreet")));
    for (const text of shown) {
      for (const secret of [token, ticket, polled, SECRET, SECRET_PARAM, KEY, API_KEY, ...LOGINS]) assert.ok(!text.includes(secret), `${secret} in ${text}`);
    }
    await http(`!send ${token}\n!close`);
    await Promise.all([reader.cancel(), lines.cancel()]);
  });

  /** A stock session that is let in with a token and brings another; its own. */
  async function useLogins() {
    const address = `http://${testbed.address}/socket_login/longpoll?vsn=2.0.0`;
    const opened = await fetch(address, { headers: { "x-phoenix-authtoken": `discreet:${LOGINS[0]}` } });
    const { token } = await opened.json();
    const renewal = JSON.stringify([null, "1", "phoenix", "token", { token: `discreet:${LOGINS[1]}` }]);
    const own = `${address}&token=${encodeURIComponent(token)}`;
    const posted = await fetch(own, { method: "POST", body: renewal, headers: { "content-type": "application/x-ndjson" } });
    assert.deepEqual(await posted.json(), { status: 200 });
    const { messages } = await (await fetch(own)).json();
    assert.match(messages[0], /"status":"ok"/);
    return token;
  }

  async function publish() {
    const headers = { authorization: `Bearer ${API_KEY}`, "idempotency-key": SECRET_PARAM };
    const body = JSON.stringify({ topic: "room:discreet", event: "told", payload: { text: SECRET } });
    const published = await fetch(`http://${testbed.address}/api/publish`, { method: "POST", body, headers });
    assert.equal(published.status, 200);
  }

  it("traces a topic and a user live, in the page and as lines of text", async () => {
    await visit("trace/topic/room%3Alobby");
    await page.locator("pre", { hasText: "is traced" }).waitFor();
    const response = await fetch(`http://${testbed.address}/inspect/trace?user=user:person3`, { headers: { authorization: `Bearer ${KEY}` } });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let lines = "";
    const reads = async (wanted) => {
      while (!lines.includes(wanted)) lines += (await within(`${wanted} after ${lines}`, reader.read())).value;
    };
    await reads('"room:lobby" is traced');
    await pushed(sockets[0].channels[0], "shout", { text: SECRET });
    await reads('"room:lobby" "shout", 28 bytes');
    sockets[3].channel("room:later", {}).join();
    await reads('joined "room:later"');
    await page.locator("pre", { hasText: '"room:lobby" "shout", 28 bytes' }).waitFor();
    assert.ok(!lines.includes(SECRET));
    await reader.cancel();
  });

  it("disconnects a user, after a question", async () => {
    await visit("sessions?search=person7");
    await page.locator("td a").first().click();
    const press = () => page.getByRole("button", { name: "Disconnect this user" }).click();
    await press();
    await page.getByRole("button", { name: "No" }).click();
    await press();
    await page.getByRole("button", { name: "Yes" }).click();
    await page.getByText("1 ended.").waitFor();
    await page.reload();
    await page.getByText("Ended: the program disconnected it").waitFor();
  });

  for (const [name, set, failure, id] of NETWORKS) {
    it(`says why a session is not on a WebSocket: ${name}`, async () => {
      const path = await startPath(testbed);
      try {
        await path.faults.set(set);
        await visit(`session/${await troubled(`behind-${id}`, failure, path.port)}`);
        // The page is made once: while a stream is tried again, it has the session.
        const isNamed = async () => {
          await page.reload();
          await page.locator("h2", { hasText: "Life" }).waitFor();
          return (await page.locator(`.findings li[data-id="${id}"]`).count()) > 0;
        };
        await until(`the finding ${id}`, isNamed, 60_000);
      } finally {
        sockets.pop().disconnect();
        await path.stop();
      }
    });
  }

  /** The number of a session whose page has said of this failure. A transport that is overtaken before it fails is tried again. */
  async function troubled(user, failure, port) {
    const [channel] = connect(user, {}, ["room:lobby"], port).channels;
    const row = async () => (await shownOf(`sessions?search=${user}`)).rows[0];
    // A report goes with what the page says.
    const talking = setInterval(() => channel.push("ping", {}), 500);
    const isSaid = async () => (await row())?.path?.failures.some(({ transport, how }) => `${transport} ${how}` === failure);
    await until(`a report: ${failure}`, isSaid, 60_000).finally(() => clearInterval(talking));
    return (await row()).id;
  }

  it("says which transports a session tried that were only slower, and for how long", async () => {
    const address = `http://${testbed.address}/socket/longpoll?lapwing=1&vsn=2.0.0&user=overtaken`;
    const post = async (body) => (await fetch(address, { method: "POST", body })).text();
    const [, token] = /^!opened (\S+) /.exec(await post("!open 30000"));
    await post(`!send ${token}\n!path 35 websocket:slower:1020 sse:closed_1006`);
    const [{ id }] = (await shownOf("sessions?search=overtaken")).rows;
    await visit(`session/${id}`);
    await page.getByText("WebSocket: another one had answered first, when this had had 1020 ms; an event stream: closed 1006").waitFor();
    assert.equal(await page.locator(".findings").count(), 0);
    await post(`!send ${token}\n!close`);
  });

  async function shownOf(path) {
    return await (await fetch(`http://${testbed.address}/inspect/${path}`, { headers: { authorization: `Bearer ${KEY}` } })).json();
  }

  it("is for everybody who may see it", async () => {
    assert.deepEqual(faults, []);
    const [{ id }] = (await shownOf("sessions?search=strange")).rows;
    for (const [name, options] of looks) {
      const look = await open({ ...options, bypassCSP: true });
      for (const hash of ["", "sessions", `session/${id}`, "topics", "topic/presence%3Ahall", "trace/topic/room%3Alobby"]) {
        await visit(hash, look);
        await look.locator("main h2").first().waitFor();
        assert.deepEqual(await axeFaults(look), [], `${name}: ${hash}`);
        await look.screenshot({ path: join(output, `inspector-${name}-${hash.split("/")[0] || "overview"}.png`) });
      }
      await look.context().close();
    }
  });

  it("sends all clients away, after a question", async () => {
    await visit("");
    await page.getByRole("button", { name: "Send all clients away" }).click();
    await page.getByRole("button", { name: "Yes" }).click();
    await until("an empty server", async () => JSON.parse(await testbed.fetch("/stats")).sessions === 0);
  });
});

function pushed(channel, event, payload) {
  return new Promise((resolve, reject) => {
    channel.push(event, payload);
    // What was pushed before is handled before.
    channel.push("ping", {}).receive("ok", resolve).receive("error", reject).receive("timeout", reject);
  });
}
