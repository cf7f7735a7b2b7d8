// The examination: which probe when. It takes about ten seconds where all goes well, and twenty where little does.

import { usual } from "./judge.js";
import { BEAT_MS, WebSocketProbe, ask, pause, rateOf, stream, tripOf } from "./probes.js";

/** Small pieces, then enough for what wants to see 1 KB first, then small ones again. */
const FIRST = plan([0, 40], [250, 40], [500, 2_048], [750, 40], [1_000, 40], [1_200, 40]);
/** Enough at once for what wants to see 64 KB first. */
const LARGE = plan([0, 70_000], [300, 40], [600, 40], [900, 40]);
/** When a request that goes beside an open stream is sent. */
const BESIDE_MS = 250;
const BESIDE_WEBSOCKET_MS = 2_500;
/** How long connections are watched. */
const WATCH_MS = 6_500;
const WATCH_ALONE_MS = 4_000;
const WATCH_LESS_MS = 2_500;
const WATCH_LESS_TRIPS = 6;
/** Connections that die are opened again so often, so much later. */
const AGAIN_MAX = 12;
const AGAIN_MS = 250;
/** An answer that is held for so long, as that to a poll is. */
const HOLD_MS = 5_000;
/** Requests that show how many answers are lost, and the time for them. */
const GETS = 80;
const POSTS = 30;
const COUNT_MS = 3_000;
/** More than the MiB that proxies let through by default. */
const LARGE_BODY_BYTES = 1_200_000;
const BODY_TRIES = 3;
/** An answer from which the rate is told, and a rate that may be chance. */
const RATE_BYTES = 16_000;
const RATE_SURE = 50_000;
const TRIES = 3;
const TRIPS = 5;
/** A line on which a large body would take too long. */
const BODY_RATE_MIN = 300_000;

function plan(...pieces) {
  return pieces.map(([at, bytes]) => ({ at, bytes }));
}

/** Examines the way to a site. `onPhase(name)` hears what is tried. */
export async function examine(site, onPhase = () => {}) {
  const seen = {
    version: 1, about: null, servers: 0, arrived: null, gets: [], posts: [], trips: [], rate: null,
    websockets: [], streams: [], holds: [], bodies: [], beside: { websocket: null, streams: [] }, ms: 0,
  };
  onPhase("requests");
  await knock(site, seen);
  if (seen.about) {
    onPhase("a WebSocket");
    await firstWebsocket(site, seen);
    onPhase("an event stream");
    await firstStreams(site, seen);
    onPhase("answers");
    await count(site, seen);
    onPhase("connections that stay");
    await watch(site, seen);
    onPhase("the end");
    await about(site, seen);
  }
  seen.ms = site.now();
  return seen;
}

/** Some requests, one after the other: the round trip, and how much passes in a second. */
async function knock(site, seen) {
  for (let tries = 0; tries < TRIES && !seen.about; tries += 1) await about(site, seen);
  if (!seen.about) return;
  for (let trips = 0; trips < TRIPS; trips += 1) {
    const got = await about(site, seen);
    if (got.how === "ok") seen.trips.push(tripOf(got));
  }
  const rate = () => rateOf(site, RATE_BYTES);
  seen.rate = await rate();
  // Once may be chance.
  if (seen.rate !== null && seen.rate < RATE_SURE) seen.rate = Math.max(seen.rate, (await rate()) ?? 0);
}

/** Asks what the server has seen of this page. Behind a balancer there may be several, each of which has seen a part. */
async function about(site, seen, deadlineMs = 2_500) {
  const got = await ask(site, "about", { deadlineMs });
  keep(seen.gets, got);
  try {
    const { arrived, server, ...about } = got.how === "ok" ? JSON.parse(got.text) : {};
    if (arrived) {
      got.begun = arrived.streamsBegun - (site.servers.get(server)?.streamsBegun ?? 0);
      got.open = arrived.streamsOpen;
      site.servers.set(server, arrived);
      Object.assign(seen, { arrived: sumOf([...site.servers.values()]), servers: site.servers.size, about });
    }
  } catch {
    // Somebody else has answered.
    got.how = "foreign";
  }
  return got;
}

function sumOf(counts) {
  return counts.reduce((sum, one) => Object.fromEntries(Object.entries(one).map(([name, count]) => [name, sum[name] + count])));
}

function keep(list, { at, ms, how }) {
  list.push({ at, ms, how });
}

async function firstWebsocket(site, seen) {
  const probe = new WebSocketProbe(site, { role: "first" });
  if (await probe.echoed) {
    const beside = await about(site, seen, BESIDE_WEBSOCKET_MS);
    seen.beside.websocket = beside.how !== "silent";
    probe.stop();
  }
  seen.websockets.push(await probe.result);
}

async function firstStreams(site, seen) {
  const lateMs = FIRST[2].at + usual(seen.trips);
  const first = () => besideStream(site, seen, { role: "first", plan: FIRST });
  const shown = await first();
  const isWell = shown.pieces > 1 && shown.reads[0].at < lateMs;
  if (isWell && !seen.beside.streams.includes(false)) return;
  const again = await first();
  if (again.end === "whole" && again.reads[0].at >= lateMs) seen.streams.push(await stream(site, { role: "large", plan: LARGE }));
}

/** A stream, and a request while it is under way. The server knows whether that came before the stream was over. */
async function besideStream(site, seen, probe) {
  const running = stream(site, probe);
  await pause(BESIDE_MS);
  const got = await about(site, seen, 4_000);
  const shown = await running;
  // One that was cut off was over for another reason, and another server than the one that answered may have it.
  const isKnown = got.begun > 0 && (got.open > 0 || seen.servers === 1);
  const isSure = got.how === "ok" && isKnown && shown.end !== "cut" && shown.end !== "error";
  if (isSure) seen.beside.streams.push(got.open > 0);
  seen.streams.push(shown);
  return shown;
}

/** Many small requests, some at a time. */
async function count(site, seen) {
  const end = site.now() + COUNT_MS;
  const several = async (list, count, request) => {
    const lane = async (share) => {
      for (let sent = 0; sent < share && site.now() < end; sent += 1) keep(list, await request());
    };
    await Promise.all([0, 1, 2, 3].map(() => lane(Math.ceil(count / 4))));
  };
  const post = () => ask(site, "post", { body: "-".repeat(100), deadlineMs: 2_500 });
  for (const posted of await Promise.all([post(), post(), post()])) keep(seen.posts, posted);
  const isSwallowed = seen.posts.every(({ how }) => how === "silent");
  if (!isSwallowed) await several(seen.posts, POSTS, post);
  await several(seen.gets, GETS, () => ask(site, "bytes", { params: { count: 100 }, deadlineMs: 2_500 }));
  if (!isSwallowed && seen.rate !== null && seen.rate > BODY_RATE_MIN) await largeBody(site, seen);
}

async function largeBody(site, seen) {
  const body = new Blob(["-".repeat(LARGE_BODY_BYTES)]);
  for (let tries = 0; tries < BODY_TRIES; tries += 1) {
    const { how } = await ask(site, "post", { body, deadlineMs: 4_000 });
    seen.bodies.push({ bytes: LARGE_BODY_BYTES, how });
    if (how !== "error") return;
  }
}

/** Connections that stay open: busy ones, and silent ones. Where only one may be open, only one is. */
async function watch(site, seen) {
  const websocketWorks = seen.websockets.some(({ echoes }) => echoes > 0);
  const streamWorks = seen.streams.some(({ reads }) => reads.length > 1 && reads[0].at < FIRST[2].at + usual(seen.trips) + 200);
  const isAlone = seen.beside.websocket === false || seen.beside.streams.includes(false);
  // On a long way all that came before has taken longer.
  const end = site.now() + (isAlone ? WATCH_ALONE_MS : WATCH_MS) - Math.min(WATCH_LESS_MS, WATCH_LESS_TRIPS * usual(seen.trips));
  const websocket = () => websocketWorks && steadyWebsocket(site, seen, end);
  const flow = () => streamWorks && steadyStream(site, seen, end);
  if (isAlone) return await (websocketWorks ? websocket() : flow());
  await Promise.all([websocket(), flow(), websocketWorks && silentWebsocket(site, seen, end), hold(site, seen)]);
}

async function steadyWebsocket(site, seen, end) {
  for (let tries = 0; tries < AGAIN_MAX && end - site.now() > BEAT_MS; tries += 1) {
    const probe = new WebSocketProbe(site, { role: "steady", openMs: 2_500, keepMs: end - site.now() });
    seen.websockets.push(await probe.result);
    await pause(AGAIN_MS);
  }
}

async function silentWebsocket(site, seen, end) {
  const probe = new WebSocketProbe(site, { role: "silent", keepMs: end - site.now() });
  seen.websockets.push(await probe.result);
}

async function steadyStream(site, seen, end) {
  for (let tries = 0; tries < AGAIN_MAX && end - site.now() > 2 * BEAT_MS; tries += 1) {
    const beats = Math.floor((end - site.now()) / BEAT_MS);
    const plan = Array.from({ length: beats }, (_, beat) => ({ at: beat * BEAT_MS, bytes: 16 }));
    seen.streams.push(await stream(site, { role: "steady", plan }));
    await pause(AGAIN_MS);
  }
}

async function hold(site, seen) {
  const params = { kind: "answer", plan: `${HOLD_MS}.16` };
  keep(seen.holds, await ask(site, "stream", { params, deadlineMs: HOLD_MS + 1_500 }));
}
