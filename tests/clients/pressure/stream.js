// A stream of large messages to healthy clients, one for each way to the server, straight and through nginx: all of it comes,
// in order, and nobody is closed.

import http2 from "node:http2";
import { Readable } from "node:stream";
import { LongPoll, Socket } from "phoenix-1.8.16";
import WebSocket from "ws";
import { Lapwing } from "../../../js/src/index.js";
import { startProxyProgram } from "../support/proxies.js";
import { startTestbed } from "../support/testbed.js";
import { pause, until, within } from "../support/wait.js";
import { outcome } from "../support/world.js";

const TOPIC = "room:stream";
/** Long after the last message: a machine may have other things to do. */
const PATIENCE_MS = 120_000;

/** Streams `count` messages of so many bytes, one each so many milliseconds, and says what came of it by each way. */
export async function stream({ count, bytes, everyMs }) {
  const testbed = await startTestbed();
  const proxies = [];
  const receivers = [];
  try {
    for (const name of ["nginx", "nginx-http2"]) proxies.push(await startProxyProgram(name, testbed.port));
    const [nginx, http2Nginx] = proxies.map(({ port }) => port);
    receivers.push(...plain("straight", testbed.port), ...plain("nginx", nginx));
    receivers.push(...overHttp2("straight", `http://127.0.0.1:${testbed.port}`, testbed.port));
    receivers.push(...overHttp2("nginx", `https://localhost:${http2Nginx}`, http2Nginx));
    receivers.push(new ExtendedConnect("straight: WebSocket over HTTP/2", testbed.port));
    for (const receiver of receivers) await receiver.start();
    const lateMs = await publish(testbed.port, { count, bytes, everyMs });
    const isDone = () => receivers.every(({ got, ends }) => got === count || ends > 0);
    await until("all of it", isDone, PATIENCE_MS).catch(() => {});
    const { slow } = await (await fetch(`http://${testbed.address}/stats`)).json();
    return { receivers: receivers.map((receiver) => receiver.report()), slow, lateMs };
  } finally {
    for (const receiver of receivers) receiver.stop();
    for (const proxy of proxies) await proxy.stop();
    await testbed.stop();
  }
}

/** Says it all, and returns how late the last message was. */
async function publish(port, { count, bytes, everyMs }) {
  const socket = new Socket(`ws://127.0.0.1:${port}/socket`, { transport: WebSocket });
  socket.connect();
  // Another topic: the publisher is not to be a receiver.
  const channel = socket.channel("room:publisher");
  await within("the publisher", outcome(channel.join()));
  const text = "x".repeat(bytes);
  const began = Date.now();
  let lateMs = 0;
  for (let n = 1; n <= count; n += 1) {
    const due = began + n * everyMs;
    await pause(Math.max(0, due - Date.now()));
    lateMs = Date.now() - due;
    channel.push("tell", { topic: TOPIC, payload: { n, at: Date.now(), text } });
  }
  await until("the publisher's messages", () => socket.conn.bufferedAmount === 0);
  setTimeout(() => socket.disconnect(), 1_000).unref();
  return lateMs;
}

/** What every receiver counts. */
class Receiver {
  got = 0;
  ends = 0;
  joins = 0;
  misplaced = 0;
  #last = 0;
  #ages = [];

  constructor(name) {
    this.name = name;
  }

  take({ n, at }) {
    this.got += 1;
    this.misplaced += Number(n !== this.#last + 1);
    this.#last = n;
    this.#ages.push(Date.now() - at);
  }

  report() {
    const ages = this.#ages.toSorted((one, other) => one - other);
    const { name, got, ends, joins, misplaced } = this;
    return { name, got, ends, joins, misplaced, p99Ms: ages[Math.floor(ages.length * 0.99)], worstMs: ages.at(-1) };
  }
}

/** A client of phoenix.js, with its own transports or ours. */
class Phoenix extends Receiver {
  #socket;

  constructor(name, url, transport) {
    super(name);
    this.#socket = new Socket(url, { transport });
    this.#socket.onClose(() => (this.ends += 1));
  }

  async start() {
    this.#socket.connect();
    const channel = this.#socket.channel(TOPIC);
    channel.on("shout", (message) => this.take(message));
    channel.onError(() => (this.ends += 1));
    const joining = channel.join();
    joining.receive("ok", () => (this.joins += 1));
    await within(`the join of ${this.name}`, outcome(joining));
  }

  stop() {
    this.#socket.disconnect();
  }
}

function plain(way, port) {
  const url = `ws://127.0.0.1:${port}/socket`;
  const ours = (transport) => Lapwing.with({ WebSocket, storage: null, transports: [transport] });
  return [
    new Phoenix(`${way}: WebSocket of phoenix.js`, url, WebSocket),
    new Phoenix(`${way}: long-poll of phoenix.js`, url, LongPoll),
    ...["websocket", "sse", "longpoll"].map((name) => new Phoenix(`${way}: resumable, ${name}`, url, ours(name))),
  ];
}

/** Ours, whose requests are streams of one connection of HTTP/2. */
function overHttp2(way, origin, port) {
  const url = `${origin.startsWith("https") ? "wss://localhost" : "ws://127.0.0.1"}:${port}/socket`;
  return ["sse", "longpoll"].map((name) => {
    const session = connect(origin);
    const transport = Lapwing.with({ transports: [name], fetch: fetchOver(session), storage: null });
    const receiver = new Phoenix(`${way}: resumable, ${name} over HTTP/2`, url, transport);
    const stop = receiver.stop.bind(receiver);
    receiver.stop = () => {
      stop();
      setTimeout(() => session.destroy(), 500).unref();
    };
    return receiver;
  });
}

/** A connection whose windows are as wide as a browser's: Node's own are of 64 KB, a fifth of a message. */
function connect(origin) {
  const session = http2.connect(origin, { rejectUnauthorized: false, settings: { initialWindowSize: 6_000_000 } });
  session.on("connect", () => session.setLocalWindowSize(15_000_000));
  // It ends with the run, whatever is under way.
  session.on("error", () => {});
  return session;
}

/** As much of `fetch` as the transport needs, over a connection. */
export function fetchOver(session) {
  return (url, { method, body = "", headers = {}, signal }) =>
    new Promise((resolve, reject) => {
      const { pathname, search } = new URL(url);
      const endStream = method === "GET";
      const fields = { ...headers, ":method": method, ":path": pathname + search };
      const stream = session.request(fields, { signal, endStream });
      stream.once("error", reject);
      stream.once("response", (fields) => {
        resolve(new Response(Readable.toWeb(stream), { status: fields[":status"] }));
      });
      if (!endStream) stream.end(body);
    });
}

/** A stock session on a WebSocket that is a stream of HTTP/2: as much of RFC 8441 and 6455 as it takes to listen. */
class ExtendedConnect extends Receiver {
  #session;
  #settings;
  #stream;
  #pieces = [];
  #bytes = 0;

  constructor(name, port) {
    super(name);
    this.#session = connect(`http://127.0.0.1:${port}`);
    this.#settings = new Promise((resolve) => this.#session.once("remoteSettings", resolve));
  }

  async start() {
    await within("the settings", this.#settings);
    this.#stream = this.#session.request({
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":path": "/socket/websocket?vsn=2.0.0",
      "sec-websocket-version": "13",
    });
    this.#stream.on("data", (piece) => this.#read(piece));
    this.#stream.on("close", () => (this.ends += 1));
    this.#stream.on("error", () => {});
    const join = Buffer.from(`["1","1","${TOPIC}","phx_join",{}]`);
    // A frame with a mask of zeros.
    this.#stream.write(Buffer.concat([Buffer.from([0x81, 0x80 | join.length, 0, 0, 0, 0]), join]));
    await until(`the join of ${this.name}`, () => this.joins > 0);
  }

  stop() {
    this.#session.destroy();
  }

  #read(piece) {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    for (;;) {
      const length = this.#frameLength();
      if (length === null || this.#bytes < length.header + length.payload) return;
      const all = Buffer.concat(this.#pieces);
      const end = length.header + length.payload;
      this.#pieces = [all.subarray(end)];
      this.#bytes = all.length - end;
      const [, , , event, payload] = JSON.parse(all.subarray(length.header, end));
      if (event === "phx_reply") this.joins += 1;
      if (event === "shout") this.take(payload);
    }
  }

  /** How long the header and the payload of the first frame are, if that is known yet. The server masks nothing and splits nothing. */
  #frameLength() {
    if (this.#pieces.length > 1 && this.#pieces[0].length < 10) this.#pieces = [Buffer.concat(this.#pieces)];
    const [first] = this.#pieces;
    if (first.length < 2) return null;
    const short = first[1] & 0x7f;
    if (short < 126) return { header: 2, payload: short };
    if (short === 126) return first.length < 4 ? null : { header: 4, payload: first.readUInt16BE(2) };
    return first.length < 10 ? null : { header: 10, payload: Number(first.readBigUInt64BE(2)) };
  }
}

/** What is wrong with a run. */
export function faultsOf({ receivers, slow }, count) {
  const faults = receivers.flatMap(({ name, got, ends, joins, misplaced }) => [
    ...(got === count ? [] : [`${name}: ${got} of ${count} messages`]),
    ...(ends === 0 ? [] : [`${name}: ended ${ends} times`]),
    ...(joins === 1 ? [] : [`${name}: joined ${joins} times`]),
    ...(misplaced === 0 ? [] : [`${name}: ${misplaced} messages came at another place`]),
  ]);
  return slow.closed === 0 ? faults : [...faults, `${slow.closed} sessions were closed as too slow`];
}
