// One session's life in sentences, and what it says of the network. Pure.

import { finding } from "./findings.js";

const NAMES = { websocket: "WebSocket", sse: "an event stream", longpoll: "long-poll" };

/** What a page says of a connection that failed, in words. */
const HOWS = {
  silent: "nothing came by it in time",
  closed: "it was closed",
  mute: "it went silent",
  error: "it broke off",
  post: "what was sent by POST did not get through",
  no_lapwing: "somebody else answered",
  superseded: "another connection took the session",
  overtaken: "it was overtaken by another",
  breach: "what came was no answer of this server",
  cut: "it was cut on purpose",
  slower: "another one had answered first",
};

const ENDS = {
  client: "the page closed it", lost: "the connection was lost", idle: "the client was silent for too long", disconnected: "the program disconnected it",
  draining: "the server goes down", too_slow: "the client did not keep up", over_budget: "the server held too much for it", bad_message: "a message made no sense",
  protocol: "the client broke the protocol", abandoned: "it was not polled any more", expired: "the client did not come back in time",
  login_expired: "its login ran out", too_fast: "the client said too much", dismissed: "the program sent it away for good", internal: "a fault in the server",
};

export const transportName = (name) => NAMES[name] ?? name;
export const endWords = (reason) => ENDS[reason] ?? reason;

/** A connection that failed, as a sentence. */
export function failureText({ transport, how, ms }) {
  const had = ms === null || ms === undefined ? "" : `, when this had had ${ms} ms`;
  return `${transportName(transport)}: ${HOWS[how] ?? how.replaceAll("_", " ")}${had}`;
}

/** An entry of the journal as a sentence. */
export function sentence({ what, transport, topic, reason }) {
  switch (what) {
    case "opened": return `Began, over ${transportName(transport)}`;
    case "carried": return `Carried by ${transportName(transport)}`;
    case "away": return "Nothing carries it";
    case "back": return "Carried again";
    case "joined": return `Joined ${topic}`;
    case "refused": return `Was not let into ${topic}`;
    case "left": return `Left ${topic} (${reason})`;
    case "closed": return `Ended: ${endWords(reason)}`;
    default: return what;
  }
}

/** So many steps that come again in the same order are one line … */
const CYCLE_MAX = 4;
/** … from so many times on. */
const TIMES_MIN = 3;

/** The entries of a journal as lines, `{ at, text }`: what comes again and again is one of them. */
export function linesOf(entries) {
  const texts = entries.map(sentence);
  const lines = [];
  for (let from = 0; from < texts.length; ) {
    const { steps, times } = cycleAt(texts, from);
    const cycle = texts.slice(from, from + steps);
    lines.push({ at: entries[from].at, text: times > 1 ? `${times} times: ${cycle.join(", ")}` : texts[from] });
    from += steps * times;
  }
  return lines;
}

/** How many steps come again from there on, and how often. */
function cycleAt(texts, from) {
  for (let steps = 1; steps <= CYCLE_MAX; steps += 1) {
    let end = from + steps;
    while (end < texts.length && texts[end] === texts[end - steps]) end += 1;
    const times = Math.floor((end - from) / steps);
    if (times >= TIMES_MIN) return { steps, times };
  }
  return { steps: 1, times: 1 };
}

/** What is to be said of a session that goes by another way than a WebSocket, and whose page has told of no failure. */
export function unexplained({ transport, isResumable, path }) {
  if (transport === "websocket" || path?.failures.length) return undefined;
  if (!isResumable) return "unknown: phoenix.js's own long-poll does not say";
  return `its page has told of no failure: it was told to use ${transportName(transport)}, or prefers it`;
}

/** A connection that carried for less than this died young. */
const YOUNG_MS = 30_000;
/** An event stream has the session before it has proven itself: one that had it for less than this may have carried nothing. */
const PROOF_MS = 5_000;

/**
 * What a session says of its network: findings like those of the doctor, as far as a page that did something else can tell.
 *
 * `entries` are those of the journal, `path` is what its page last said: `{ failures }`, or `null` if nothing has failed.
 */
export function judgeLife(entries, path) {
  const moves = entries.filter(({ what }) => what === "carried");
  const hasLasted = (before) => before === moves.length - 1 || moves[before + 1].at - moves[before].at >= PROOF_MS;
  const proven = moves.filter(({ transport }, before) => transport !== "sse" || hasLasted(before));
  const carried = new Set(proven.map(({ transport }) => transport));
  const ages = moves.slice(1).map(({ at }, before) => ({ transport: moves[before].transport, ms: at - moves[before].at }));
  const young = ages.filter(({ transport, ms }) => transport === "websocket" && ms < YOUNG_MS).map(({ ms }) => ms);
  // Who was only slower has not failed.
  const failures = (path?.failures ?? []).filter(({ how }) => how !== "slower");
  const isDying = young.length > 1 && failures.some(({ transport }) => transport === "websocket");
  const ids = new Set(failures.map(({ transport, how }) => meaningOf(transport, how, carried.has(transport))).filter(Boolean));
  return [...(isDying ? [finding("websocket_killed", { ms: middleOf(young) })] : []), ...[...ids].map((id) => finding(id))];
}

function meaningOf(transport, how, hasCarried) {
  if (how === "mute") return "connections_forgotten";
  if (how === "post") return "posts_swallowed";
  if (hasCarried) return undefined;
  if (transport === "websocket") return how === "silent" ? "websocket_unanswered" : how === "closed" || how === "error" ? "websocket_fails" : undefined;
  if (transport === "sse" && how === "silent") return "stream_unanswered";
  return how === "error" ? "requests_fail" : undefined;
}

function middleOf(numbers) {
  return [...numbers].sort((one, other) => one - other)[Math.floor(numbers.length / 2)];
}
