// What a network does, from what a page and its server saw of it. Pure.

import { finding } from "./findings.js";

/** An answer that takes longer than this, usually, has a long way. */
const SLOW_MS = 180;
/** Bytes a second below which a line is narrow. */
const NARROW_BYTES = 24_000;
/** A chain of deaths is no chance. */
const DEATHS_MIN = 2;
/** What breaks within this of each other broke for one reason. */
const SAME_MOMENT_MS = 700;
/** Answers that were lost may have been so by chance, one of them. */
const LOST_MIN = 2;
const LOST_POSTS_MIN = 3;
/** A silent connection that lived so much longer than another has proven that silence was no reason. */
const LONGER = 1.5;

/**
 * The findings, worst first; none if the network lets everything through.
 *
 * `seen` is what `examine` returns: figures in milliseconds and words, nothing of the page's.
 */
export function judge(seen) {
  const requests = [...seen.gets, ...seen.posts];
  if (!seen.about && !requests.some(({ how }) => how === "ok")) return [finding("unreachable")];
  const breaks = breaksOf(seen);
  return [
    ...websockets(seen, breaks),
    ...breaks.findings,
    ...streams(seen),
    ...(isOneAtATime(seen) ? [finding("one_at_a_time")] : []),
    ...posts(seen),
    ...lost(seen, breaks),
    ...bodies(seen, breaks),
    ...(seen.about?.http === "1.0" ? [finding("http10")] : []),
    ...pace(seen),
  ];
}

/** What WebSockets do that nothing else does. */
function websockets({ websockets, arrived, servers }, { killed }) {
  if (websockets.length === 0 || websockets.some(({ echoes }) => echoes > 0)) return [];
  if (websockets.some(({ opened }) => opened !== null)) {
    return websockets.some(({ end }) => end === "mute") ? [finding("websocket_mute")] : [finding("websocket_killed", { ms: 0 })];
  }
  if (arrived?.stripped > 0) return [finding("upgrade_stripped")];
  if (websockets.some(({ end }) => end === "swallowed")) return [finding("upgrade_swallowed")];
  if (killed !== undefined) return [];
  if (arrived?.upgrades > 0) return [finding("websocket_killed", { ms: 0 })];
  // Of several servers, the one that it came to may not have been asked.
  return [finding(servers > 1 ? "websocket_fails" : "upgrade_refused")];
}

/**
 * How connections that worked come to an end.
 *
 * Those that die again and again at one age are cut for their age; those that die all at one moment, once, for something that
 * happened then; and those that nobody says anything on, while others live, for their silence.
 */
function breaksOf({ websockets, streams, holds }) {
  const steady = websockets.filter(({ role, echoes }) => role === "steady" && echoes > 0);
  const flowing = streams.filter(({ role, pieces }) => role === "steady" && pieces > 0);
  const deaths = steady.filter(({ end }) => end === "closed");
  const cuts = flowing.filter(({ end }) => end === "cut");
  const silences = [...steady, ...flowing].filter(({ end }) => end === "silent");
  const none = { findings: [], killed: undefined, away: undefined };

  if (silences.length > 0) return { ...none, findings: [finding("connections_forgotten")], away: momentOf(silences[0]) };
  const away = interruption(deaths, cuts, [...steady, ...flowing]);
  if (away) return { ...none, findings: [finding("interrupted", { ms: away.ms })], away };

  const websocketMs = deaths.length >= DEATHS_MIN ? middle(deaths.map(({ age }) => age)) : undefined;
  const streamMs = cuts.length >= DEATHS_MIN ? middle(cuts.map(({ age }) => age)) : undefined;
  if (websocketMs !== undefined && (streamMs !== undefined || flowing.length === 0)) {
    return { ...none, findings: [finding("connections_killed", { ms: websocketMs })], killed: websocketMs };
  }
  if (websocketMs !== undefined) return { ...none, findings: [finding("websocket_killed", { ms: websocketMs })] };
  if (streamMs !== undefined) return { ...none, findings: [finding("responses_cut", { ms: streamMs })], killed: streamMs };
  return { ...none, findings: idle(websockets, holds, [...steady, ...flowing]) };
}

/** What silent connections do that busy ones do not. */
function idle(websockets, holds, busy) {
  const silent = websockets.filter(({ role, opened, end }) => role === "silent" && opened !== null && end === "closed");
  const held = holds.filter(({ how }) => how !== "ok" && how !== "silent");
  const ages = [...silent.map(({ age }) => age), ...held.map(({ ms }) => ms)];
  const longest = Math.max(0, ...busy.map(({ age }) => age));
  if (ages.length < DEATHS_MIN && silent.length === 0) return [];
  const ms = middle(ages);
  return longest > LONGER * ms ? [finding("idle_killed", { ms })] : [];
}

/** Everything broke at one moment, and later ones lived longer; or so it was for the one kind that there is. */
function interruption(deaths, cuts, all) {
  const broken = [...deaths, ...cuts];
  if (broken.length === 0 || deaths.length > 1 || cuts.length > 1) return undefined;
  const moments = broken.map(({ at, age }) => at + age);
  if (Math.max(...moments) - Math.min(...moments) > SAME_MOMENT_MS) return undefined;
  const kinds = new Set(all.map(({ pieces }) => pieces === undefined));
  if (broken.length < kinds.size) return undefined;
  const from = Math.min(...moments);
  const later = all.filter(({ at }) => at >= from).map(({ at, opened, head }) => at + (opened ?? head ?? 0));
  if (later.length === 0) return undefined;
  const until = Math.min(...later);
  return { from, until, ms: until - from };
}

function momentOf({ at, age }) {
  return { from: at + age - 4_000, until: Infinity };
}

/** What event streams do that answers do not, and what all answers do. */
function streams({ streams, trips }) {
  const tripMs = usual(trips);
  const tries = streams.filter(({ role }) => role === "first");
  const [probe] = streams.filter(({ role }) => role === "large");
  if (tries.length === 0) return [];
  if (tries.every(({ head, pieces }) => head !== null && pieces === 0)) return [finding("stream_mute")];
  const held = tries.map((seen) => heldBytes(seen, tripMs));
  if (held.some((bytes) => bytes === 0)) return [];
  if (Math.min(...held) < Infinity) return [finding("held_back", { kb: nearest(Math.min(...held)) })];
  if (probe && heldBytes(probe, tripMs) < Infinity) return [finding("held_back", { kb: 64 })];
  return [finding("held_back")];
}

/** How many bytes of a stream were held back: 0 if it came as it was sent, `Infinity` if it came when it was over. An answer takes `tripMs`. */
export function heldBytes({ reads, plan, end, head }, tripMs = 0) {
  if (end === "cut" || end === "error") return 0;
  const firstMs = (reads[0]?.at ?? Infinity) - tripMs;
  const lastMs = (reads.at(-1)?.at ?? Infinity) - tripMs;
  const over = plan.at(-1).at;
  if (head === null || firstMs === Infinity) return Infinity;
  // Nothing came before the end was due: between the first bytes and the last there is no time.
  if (firstMs >= over - 50 && lastMs - firstMs < over / 3) return Infinity;
  // Pieces that were due long before the first bytes came were held until those were there.
  const late = plan.filter(({ at }) => at + 350 <= firstMs);
  if (late.length === 0) return 0;
  return plan.filter(({ at }) => at <= firstMs + 20).reduce((sum, { bytes }) => sum + bytes, 0);
}

function nearest(bytes) {
  return bytes <= 4_096 ? Math.max(1, Math.round(bytes / 2_048)) : Math.round(bytes / 1_024);
}

function isOneAtATime({ beside }) {
  return beside.websocket === false || (beside.streams.length > 0 && beside.streams.every((isAnswered) => isAnswered === false));
}

function posts({ posts, arrived }) {
  const silent = posts.filter(({ how }) => how === "silent");
  if (posts.length === 0 || silent.length < posts.length) return [];
  return [finding(arrived?.posts > 0 ? "post_replies_swallowed" : "posts_swallowed")];
}

/** Answers that were lost for no other reason that was found. */
function lost({ gets, posts, about }, { killed, away }) {
  // There, requests share the connection that is cut.
  if (killed !== undefined && about?.http === "2") return [];
  const isInTime = ({ ms }) => killed === undefined || ms < 0.7 * killed;
  const isPresent = ({ at, ms }) => !away || at + ms < away.from - 100 || at > away.until + 200;
  const count = (requests) => {
    const counted = requests.filter((request) => request.how === "ok" || (request.how === "error" && isInTime(request) && isPresent(request)));
    return { of: counted.length, lost: counted.filter(({ how }) => how === "error").length };
  };
  const [got, posted] = [count(gets), count(posts)];
  const percent = ({ of, lost }) => Math.round((100 * lost) / of);
  if (got.lost >= LOST_MIN) return [finding("responses_dropped", { percent: percent({ of: got.of + posted.of, lost: got.lost + posted.lost }) })];
  if (posted.lost >= LOST_POSTS_MIN) return [finding("post_replies_dropped", { percent: percent(posted) })];
  return [];
}

function bodies({ bodies, posts }, { killed }) {
  if (killed !== undefined || bodies.length === 0 || !posts.some(({ how }) => how === "ok")) return [];
  if (bodies.some(({ how }) => how === "ok" || how === "silent")) return [];
  const { bytes, how } = bodies.at(-1);
  const words = how.startsWith("status ") ? `HTTP ${how.slice(7)}` : "the connection breaks";
  return [finding("bodies_refused", { kb: Math.round(bytes / 1024), how: words })];
}

function pace({ trips, rate }) {
  const ms = usual(trips);
  return [
    ...(ms >= SLOW_MS ? [finding("slow", { ms })] : []),
    ...(rate !== null && rate < NARROW_BYTES ? [finding("throttled", { kb: Math.max(1, Math.round(rate / 1000)) })] : []),
  ];
}

/** How long an answer takes where nothing else delays it. */
export function usual(trips) {
  return trips.length ? [...trips].sort((one, other) => one - other)[Math.floor(trips.length / 4)] : 0;
}

function middle(numbers) {
  const sorted = [...numbers].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)];
}
