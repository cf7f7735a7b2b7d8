// Logins: they end and are renewed, refusals reach the page, and who was refused for good stays away; over all transports.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import WebSocket from "ws";
import { addressOf } from "../src/address.js";
import { Lapwing } from "../src/index.js";
import { Login } from "../src/login.js";
import { ENDS } from "../src/session.js";
import { loadClient, transportsOf } from "../../tests/clients/support/clients.js";
import { startTestbed } from "../../tests/clients/support/testbed.js";
import { until, within } from "../../tests/clients/support/wait.js";

const HOUR = 3_600_000;
/** A quarter of it is what a renewal may take on a busy machine. */
const FIRST_MS = 8_000;
const WAYS = [
  ["WebSocket", { transports: ["websocket"] }],
  ["event stream", { transports: ["sse"] }],
  ["long-poll", { transports: ["longpoll"] }],
  ["long-poll with one request at a time", { transports: ["longpoll"], singleRequest: true }],
];

let testbed;
before(async () => (testbed = await startTestbed()));
after(() => testbed.stop());

/** What a page asks the network for, counted. */
function counting() {
  const count = { requests: 0 };
  const counted = class extends WebSocket {
    constructor(...args) {
      super(...args);
      count.requests += 1;
    }
  };
  return { count, WebSocket: counted, fetch: (...args) => ((count.requests += 1), fetch(...args)) };
}

let users = 0;
const newUser = () => `user${(users += 1)}`;

/** A session without phoenix.js. */
function open(options, query = "") {
  const Transport = Lapwing.with({ WebSocket, storage: null, ...options });
  const session = new Transport(`ws://${testbed.address}/socket_login?vsn=2.0.0${query}`);
  const messages = [];
  session.onmessage = ({ data }) => messages.push(data);
  const opened = new Promise((resolve) => (session.onopen = resolve));
  const closed = new Promise((resolve) => (session.onclose = ({ code, reason }) => resolve(`${code} ${reason}`)));
  return {
    session,
    messages,
    opened: () => within("the beginning", opened, 20_000),
    closed: () => within("the end", closed, 20_000),
  };
}

/** phoenix.js, which comes back whatever happens. */
function socketOf(Socket, options) {
  const transport = Lapwing.with({ WebSocket, storage: null, ...options.lapwing });
  const socket = new Socket(`ws://${testbed.address}/socket_login`, { ...options, transport, reconnectAfterMs: () => 20 });
  const closes = [];
  socket.onClose(({ code, reason }) => closes.push(`${code} ${reason}`));
  let opens = 0;
  socket.onOpen(() => (opens += 1));
  socket.connect();
  return { socket, closes, opens: () => opens };
}

describe("over each transport", { concurrency: true }, () => {
  for (const [name, options] of WAYS) {
    describe(`over ${name}`, { concurrency: true }, () => {
      it("a session ends with its login, and its page can read why", async () => {
        const { closed } = open(options, `&token=${newUser()}:500`);
        assert.equal(await closed(), "4401 login_expired");
      });

      it("a token is asked for, and renewed in the session before it ends", async () => {
        const user = newUser();
        const asked = [];
        const getToken = async (before) => asked.push(before) && `${user}:${asked.length === 1 ? FIRST_MS : HOUR}`;
        const begun = performance.now();
        const { session, messages, opened } = open({ ...options, getToken });
        await opened();
        await until("a renewal", () => asked.length === 2, 30_000);
        await until("the end of the first", () => performance.now() - begun > FIRST_MS + 1_000, 30_000);
        session.send(JSON.stringify([null, "1", "phoenix", "heartbeat", {}]));
        await until("an answer", () => messages.length > 0, 20_000);
        assert.deepEqual(messages.map((message) => JSON.parse(message)[1]), ["1"], "answers to tokens are not the page's");
        assert.deepEqual(asked, [undefined, undefined]);
        session.close();
      });

      it("a refusal says why, and the same credentials are not sent again", async () => {
        for (const [token, end] of [["x", "4401 no token"], ["x:y", "4401 the token has expired"], ["x:barred", "4403 barred from here"]]) {
          const query = `&token=${token}&by=${newUser()}`;
          assert.equal(await open(options, query).closed(), end);
          const { count, ...counted } = counting();
          assert.equal(await open({ ...options, ...counted }, query).closed(), end);
          assert.equal(count.requests, 0);
          assert.equal(await open({ ...options, ...counted }, `${query}&other`).closed(), end);
          assert.ok(count.requests > 0);
        }
      });

      it("a client that is banned is told, and does not come back", async () => {
        const user = newUser();
        const { opened, closed } = open(options, `&token=${user}:forever`);
        await opened();
        await testbed.fetch(`/ban/${user}`);
        assert.equal(await closed(), "4403 banned");
        assert.equal(await open(options, `&token=${user}:forever`).closed(), "4403 banned");
      });
    });
  }
});

it("a page may ask again after a login of which the transport does not know", async () => {
  assert.equal(await open({}, "&token=cookie").closed(), "4401 no token");
  const { count, ...counted } = counting();
  Lapwing.forgetRefusals();
  assert.equal(await open(counted, "&token=cookie").closed(), "4401 no token");
  assert.ok(count.requests > 0);
});

it("a server that cannot say whether a session may be carried on is asked until it can", async () => {
  // Polls in a row are one, and of those nobody is asked.
  for (const [name, options] of WAYS.slice(0, 2)) {
    const user = newUser();
    const { session, messages, opened } = open(options, `&token=${user}:forever`);
    await opened();
    const ends = [];
    session.onclose = ({ code, reason }) => ends.push(`${code} ${reason}`);
    await testbed.fetch(`/undecided/${user}`);
    session.cut();
    await until("refusals", () => session.status().failures.filter(({ how }) => how === "refused full").length >= 2, 20_000);
    await testbed.fetch(`/decided/${user}`);
    session.send(JSON.stringify([null, "1", "phoenix", "heartbeat", {}]));
    await until("an answer", () => messages.length === 1, 20_000);
    assert.deepEqual(ends, [], name);
    session.close();
  }
});

it("a poll that comes late shows its token, as the server asks again whose it is", async () => {
  let isLate = false;
  const late = async (url, request) => {
    const answer = await fetch(url, request);
    if (!isLate || !request.body.startsWith("!resume")) return answer;
    isLate = false;
    const text = await answer.text();
    await setTimeout(4_000);
    return new Response(text, answer);
  };
  const options = { transports: ["longpoll"], fetch: late, getToken: () => `${newUser()}:forever` };
  const { session, messages, opened } = open(options);
  await opened();
  for (const ref of ["1", "2", "3"]) {
    isLate = ref === "2";
    session.send(JSON.stringify([null, ref, "phoenix", "heartbeat", {}]));
    await until(`the answer to ${ref}`, () => messages.length === Number(ref), 20_000);
  }
  session.close();
});

it("a page that gets no token in time is told so", async (t) => {
  const address = addressOf("ws://127.0.0.1/socket");
  for (const [getToken, error] of [[() => new Promise(() => {}), /too long/], [() => undefined, /a string/], [() => "é€", /./]]) {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const login = new Login({ url: "ws://127.0.0.1/socket", address, getToken, send() {} });
    const begun = login.begin();
    t.mock.timers.tick(30_000);
    await assert.rejects(begun, error);
    t.mock.timers.reset();
  }
});

it("a page that asks somebody for a token is not asked again meanwhile", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const address = addressOf("ws://127.0.0.1/socket");
  let asked = 0;
  const answers = [];
  const getToken = () => ((asked += 1), new Promise((resolve) => answers.push(resolve)));
  const login = () => new Login({ url: "ws://127.0.0.1/socket", address, getToken, send() {} });
  const first = login().begin();
  t.mock.timers.tick(30_000);
  await assert.rejects(first, /too long/);
  const second = login().begin();
  answers[0]("bob");
  await second;
  assert.deepEqual([asked, address.headers], [1, { "X-Phoenix-AuthToken": "bob" }]);
  const [third, fourth] = [login().begin(), login().begin()];
  answers[1]("eve");
  answers[2]("ada");
  await Promise.all([third, fourth]);
  assert.equal(asked, 3, "a token may be good once");
});

it("a token that cannot be had ends the session before it begins", async () => {
  const { count, ...counted } = counting();
  const getToken = () => Promise.reject(new Error("the login server is away"));
  assert.equal(await open({ ...counted, getToken }).closed(), "4400 no token: the login server is away");
  assert.equal(count.requests, 0);
});

for (const version of ["1.7.21", "1.8.16"]) {
  const client = await loadClient(version);
  describe(`with phoenix.js ${version}`, () => {
    const { Socket } = client;

    it("a page that is refused asks the server once, and again with another token", async () => {
      const user = newUser();
      let token = `${user}:expired`;
      const { count, ...counted } = counting();
      // phoenix.js 1.7 has no authToken.
      const { socket, closes, opens } = socketOf(Socket, { lapwing: { ...counted, getToken: () => token } });
      await until("ten refusals", () => closes.length >= 10, 20_000);
      assert.deepEqual(new Set(closes), new Set(["4401 the token has expired"]));
      assert.equal(count.requests, 1);
      token = `${user}:forever`;
      await until("a session", () => opens() === 1, 20_000);
      socket.disconnect();
    });

    it("a page whose login ends is there again with another token, which is told why", async () => {
      const user = newUser();
      const asked = [];
      // The server takes none in a session that is another's.
      const getToken = (before) => asked.push(before) && (asked.length === 2 ? "eve:5000" : `${user}:6000`);
      const { socket, closes, opens } = socketOf(Socket, { lapwing: { getToken } });
      await until("a second session", () => opens() === 2, 20_000);
      socket.disconnect();
      assert.equal(closes[0], "4401 login_expired");
      assert.deepEqual(asked[2], { code: 4401, reason: "login_expired" });
    });

    it("the stock transports are told of ends, and bring new tokens by an event", async () => {
      for (const { name, transport, use } of transportsOf(version, client)) {
        use();
        const user = newUser();
        const params = { token: `${user}:20000` };
        const socket = new Socket(`ws://${testbed.address}/socket_login`, { transport, params, reconnectAfterMs: () => 20_000 });
        const closes = [];
        const replies = [];
        socket.onClose(({ code, reason }) => closes.push(`${code} ${reason}`));
        socket.onMessage(({ payload }) => replies.push(payload.status));
        socket.connect();
        await until("a connection", () => socket.isConnected(), 20_000);
        socket.push({ topic: "phoenix", event: "token", payload: { token: `${user}:300` }, ref: socket.makeRef() });
        await until("the end", () => closes.length > 0, 20_000);
        assert.equal(closes[0], name === "WebSocket" ? "4401 login_expired" : "1008 forbidden", name);
        assert.deepEqual(replies, ["ok"]);
        socket.disconnect();
      }
    });
  });
}

it("every end that the transport itself makes is in the documents' table", () => {
  const [table] = readFileSync(new URL("../../docs/close-codes.md", import.meta.url), "utf8").split("## With the transports");
  const codes = new Set(table.match(/^\| \d+/gm).map((start) => Number(start.slice(2))));
  for (const [name, code] of Object.entries(ENDS)) assert.ok(codes.has(code), name);
});
