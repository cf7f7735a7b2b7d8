// What each behaviour is put through: once from the start until it is lifted, once from the middle of a session on.
//
// `world.open({ path, options, ...peer })` makes the client under test, in this process or in a page: a `Peer`, or something
// whose methods are called in the same way and return promises.

import { Socket } from "phoenix-1.8.16";
import WebSocket from "ws";
import { SEED } from "../support/seed.js";
import { pause, until, within } from "../support/wait.js";
import { freeze, startPath } from "./path.js";
import { Peer } from "./peer.js";
import { assertZeros, drain } from "./zeros.js";

/** What the issue promises. */
export const FIRST_MS_MAX = 3_000;
export const SURVIVED_MS_MAX = 5_000;
export const BACK_MS_MAX = 60_000;

const PER_SECOND = 20;
const UNDER_FAULT_MS = 3_000;
const CALM_MS = 700;
/** All that a scenario does takes less, even one that waits for minutes, if it does not say otherwise. */
const END_MS = 140_000;
/** Longer than a loss may take to be noticed and made good. */
const MID_MS = SURVIVED_MS_MAX + 500;

/** Everything was right but the time that it took. */
class Late extends Error {}

let running = 0;
const waiting = [];

/**
 * Runs a scenario, and once more if it was only late, alone and with another seed: a machine with something else to do is no
 * network, and a chance of a tenth loses seven responses in a row, which takes more than five seconds, in one run of 50,000.
 */
export async function inTime(scenario) {
  running += 1;
  try {
    return await scenario(SEED);
  } catch (error) {
    if (!(error instanceof Late)) throw error;
    const turn = new Promise((resolve) => waiting.push(resolve));
    leave();
    await turn;
    running += 1;
    return await scenario(SEED + 1);
  } finally {
    leave();
  }
}

function leave() {
  running -= 1;
  if (running === 0) waiting.shift()?.();
}

let topics = 0;

/** Runs with a client and an observer, both closed when it is over. */
export async function withPeers(world, { behaviour = {}, seed = SEED, options, authToken, port, peer, endMs = END_MS }, run) {
  const topic = `hostile-${process.pid}-${(topics += 1)}`;
  const path = await startPath(world.testbed, { program: behaviour.program, seed });
  const observer = observe(world.testbed, topic);
  const client = await world.open({
    path,
    options,
    peer: { url: `${path.origin ?? `ws://127.0.0.1:${port ?? path.port}`}/socket`, user: "client", other: "observer", topic, authToken, ...peer },
  });
  try {
    await within("the observer", observer.connect());
    return await within("the end", run({ client, observer, faults: path.faults }), endMs);
  } catch (error) {
    error.stack += `\nseed ${seed}, ${JSON.stringify(await client.status())}`;
    throw error;
  } finally {
    observer.rest();
    // A page that is busy beyond measure must not keep the proxies.
    await within("a farewell", client.leave()).catch(() => {});
    await observer.leave();
    await path.stop();
  }
}

/** A client that is spared all of it. */
export function observe(testbed, topic) {
  const url = `ws://127.0.0.1:${testbed.port}/socket`;
  return new Peer({ Socket, transport: WebSocket, url, user: "observer", other: "client", topic });
}

/** The behaviour is there before the client is. Returns what the table has to say of that. */
export function fromStart(world, behaviour, seed) {
  return withPeers(world, { behaviour, seed }, async ({ client, observer, faults }) => {
    await faults.set(behaviour.isPulse ? ["half_open"] : behaviour.faults);
    if (behaviour.isPulse) setTimeout(() => faults.lift(), 300);
    await within("the joins", client.connect());
    await traffic(behaviour, client, observer, UNDER_FAULT_MS);
    // In a change from one to another there is none.
    const transport = await until("a transport", async () => (await client.status()).transport);
    await faults.lift();
    const backMs = canClimb(behaviour) ? await back(client) : null;
    await traffic(behaviour, client, observer, CALM_MS);
    const records = await drain(client, observer);
    assertZerosInTime(records);
    const { firstMs } = records.client;
    if (firstMs > FIRST_MS_MAX) throw new Late(`the first message came after ${firstMs} ms`);
    // Whatever is late to answer loses its place to the next.
    if (behaviour.uses && !behaviour.uses.includes(transport)) throw new Late(`${transport} carries the session`);
    return { firstMs, transport, backMs };
  });
}

/** The behaviour begins in the middle of a session. Returns what the table has to say of that. */
export function fromMiddle(world, behaviour, seed) {
  return withPeers(world, { behaviour, seed }, async ({ client, observer, faults }) => {
    await within("the joins", client.connect());
    const from = behaviour.from ?? (canClimb(behaviour) ? "websocket" : null);
    if (from) {
      if (behaviour.from) await client.deed("switchTo", from);
      await onTransport(client, from);
    }
    await traffic(behaviour, client, observer, CALM_MS);
    await client.mark();
    observer.mark();
    await begin(faults, behaviour);
    if (behaviour.silentMs) await pause(behaviour.silentMs);
    await traffic(behaviour, client, observer, MID_MS);
    const records = await drain(client, observer);
    assertZerosInTime(records);
    const survivedMs = Math.max(records.client.messages.worstMs, records.observer.messages.worstMs);
    if (survivedMs > SURVIVED_MS_MAX) throw new Late(`a message was under way for ${survivedMs} ms`);
    return { survivedMs };
  });
}

/** As `assertZeros`; answers that came when phoenix.js waited for them no more are late, not lost. */
function assertZerosInTime({ client, observer }) {
  assertZeros({ client: { ...client, timeouts: 0 }, observer });
  if (client.timeouts) throw new Late(`phoenix.js had given up ${client.timeouts} answers that came`);
}

async function begin(faults, { faults: set, begin = "cut", awayMs }) {
  if (begin === "freeze") return freeze(faults, set);
  await faults.set(set);
  if (begin === "cut") await faults.cut();
  if (!awayMs) return;
  await pause(awayMs);
  await faults.lift();
}

async function traffic({ perSecond = PER_SECOND }, client, observer, ms) {
  await client.push(perSecond);
  observer.push(perSecond);
  await pause(ms);
  await client.rest();
  observer.rest();
}

/** A real proxy that lets no WebSocket through is not lifted. */
const canClimb = ({ program }) => program !== "nginx-default";

/** How long it takes until the session is on WebSocket, in milliseconds. */
export async function back(client) {
  const from = Date.now();
  await onTransport(client, "websocket", BACK_MS_MAX);
  return Date.now() - from;
}

export function onTransport(client, name, ms) {
  const isOn = async () => (await client.status())?.transport === name;
  return until(`a session on ${name}`, isOn, ms);
}
