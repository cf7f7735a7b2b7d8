// Clients that mean no harm, and how long they wait for replies.

import WebSocket from "ws";
import { within } from "../clients/support/wait.js";

const CLIENTS = 4;

/** Between two pings to a server: about a thousand a second. They are sent whether or not those before were answered, so that a pause shows. */
const PERIOD_MS = 1;

/** While nothing is measured, often enough for the shortest idle time-out. */
const IDLE_PERIOD_MS = 500;

/** Long enough for a p99 of some hundreds of pings. Of several windows the median counts: something else may have the machine for a moment. */
const WINDOW_MS = 500;
const WINDOW_PINGS_MIN = 100;

/** Connects to two servers or more, and measures all of them in the same moments. */
export async function honestClients(addresses) {
  const groups = await Promise.all(addresses.map(connectAll));
  let timer;
  let turn = 0;
  const every = (ms) => {
    clearInterval(timer);
    timer = setInterval(() => {
      turn += 1;
      // Nobody is always the first.
      const order = turn % 2 ? groups : groups.toReversed();
      for (const group of order) group[turn % CLIENTS].ping();
    }, ms);
  };
  every(IDLE_PERIOD_MS);
  return {
    /** Measures until something has come. Returns the median of the windows' p99 in ms and the number of pings, for each server. */
    async measure(something) {
      for (const client of groups.flat()) client.samples = [];
      const began = performance.now();
      every(PERIOD_MS);
      try {
        await something;
      } finally {
        every(IDLE_PERIOD_MS);
      }
      await within("the last pongs", Promise.all(groups.flat().map((client) => client.quiet())));
      return groups.map((group) => summary(group.flatMap(({ samples }) => samples), began));
    },
    /** Why clients were closed, if any were. */
    closed: () => groups.map((group) => group.flatMap(({ closed }) => closed ?? [])),
    count: CLIENTS,
    stop() {
      clearInterval(timer);
      for (const client of groups.flat()) client.socket.terminate();
    },
  };
}

/** Whether a client that comes now is let in and served. */
export async function isLetIn(address) {
  try {
    const client = await connect(address, "newcomer", 10_000);
    client.socket.close();
    return true;
  } catch {
    return false;
  }
}

const connectAll = (address) => Promise.all(Array.from({ length: CLIENTS }, (_, n) => connect(address, n)));

async function connect({ port, mount }, n, ms) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${mount}/websocket?vsn=2.0.0`, { perMessageDeflate: false });
  const client = new Client(socket, `room:honest-${n}`);
  try {
    await within("a join", client.joined, ms);
  } catch (error) {
    socket.terminate();
    throw error;
  }
  return client;
}

class Client {
  constructor(socket, topic) {
    Object.assign(this, { socket, topic, samples: [], waiting: new Map(), ref: 1 });
    this.joined = new Promise((resolve, reject) => {
      socket.on("error", reject).on("open", () => socket.send(JSON.stringify(["1", "1", topic, "phx_join", {}])));
      socket.on("close", (code) => {
        this.closed = code;
        reject(new Error(`closed with ${code}`));
      });
      socket.on("message", (message) => {
        const [, ref, , event] = JSON.parse(message);
        if (event !== "phx_reply") return;
        if (ref === "1") resolve();
        const sent = this.waiting.get(ref);
        if (sent === undefined) return;
        this.waiting.delete(ref);
        this.samples.push({ sent, ms: performance.now() - sent });
        if (this.waiting.size === 0) this.onquiet?.();
      });
    });
    this.joined.catch(() => {});
  }

  ping() {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    this.ref += 1;
    const ref = String(this.ref);
    this.waiting.set(ref, performance.now());
    this.socket.send(`["1","${ref}","${this.topic}","ping",{}]`);
  }

  /** Resolves when all pings are answered, or nobody is left to answer. */
  quiet() {
    if (this.waiting.size === 0 || this.closed !== undefined) return Promise.resolve();
    return new Promise((resolve) => {
      this.onquiet = resolve;
      this.socket.once("close", resolve);
    });
  }
}

function summary(samples, began) {
  const windows = [];
  for (const { sent, ms } of samples) (windows[Math.floor((sent - began) / WINDOW_MS)] ??= []).push(ms);
  // The last one may be short.
  const full = windows.filter((window) => window.length >= WINDOW_PINGS_MIN);
  return { p99: median(full.map(p99)), count: samples.length };
}

function p99(times) {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length * 0.99)];
}

function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
