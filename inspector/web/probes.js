// Measures one thing at a time. A probe has an end, and says what it saw; it never throws.

/** How often a busy connection says something. */
export const BEAT_MS = 250;
/** So many beats without an answer are silence. They are counted, not timed: a page that was stopped has heard nothing either. */
const BEATS_MISSED_MAX = 10;
/** So many beats later than its end was due, a stream that has an end is given up. */
const BEATS_LATE_MAX = 5;

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Where the probes are, and who asks. */
export class Site {
  #base;
  #id = [...crypto.getRandomValues(new Uint32Array(2))].map((part) => part.toString(16).padStart(8, "0")).join("");
  #count = 0;
  #began = performance.now();
  /** What those who answered there have seen, by their names. */
  servers = new Map();

  constructor(address) {
    this.#base = address.replace(/[?#].*/, "").replace(/\/*$/, "/");
  }

  /** The address of a probe: no two are alike, so that no cache answers. */
  url(name, params = {}) {
    const query = Object.entries({ ...params, id: this.#id, n: (this.#count += 1) });
    return `${this.#base}${name}?${query.map(([key, value]) => `${key}=${value}`).join("&")}`;
  }

  websocketUrl() {
    return this.url("websocket").replace(/^http/, "ws");
  }

  /** Milliseconds since the examination began. */
  now() {
    return Math.round(performance.now() - this.#began);
  }
}

/** A request and its whole answer: `ok`, `status 413`, `silent` if it took too long, or `error`. */
export async function ask(site, name, { params, body, deadlineMs = 3_000 } = {}) {
  const at = site.now();
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), deadlineMs);
  const url = site.url(name, params);
  const told = (how, text = "") => ({ at, ms: site.now() - at, how, text, url });
  try {
    const response = await fetch(url, { method: body === undefined ? "GET" : "POST", body, cache: "no-store", signal: abort.signal });
    const text = await response.text();
    return told(response.ok ? "ok" : `status ${response.status}`, text);
  } catch {
    return told(abort.signal.aborted ? "silent" : "error");
  } finally {
    clearTimeout(timer);
  }
}

/** How long the answer to a request was waited for, without the time that its connection took. */
export function tripOf({ url, ms }) {
  const [entry] = performance.getEntriesByName(url);
  return entry?.requestStart > 0 ? Math.round(entry.responseStart - entry.requestStart) : ms;
}

/** How many bytes a second the body of an answer came with, if it took long enough to tell. */
export async function rateOf(site, count) {
  const answer = await ask(site, "bytes", { params: { count }, deadlineMs: 5_000 });
  if (answer.how === "silent") return Math.round((count * 1000) / answer.ms);
  const [entry] = performance.getEntriesByName(answer.url);
  if (answer.how !== "ok" || !entry?.responseStart) return null;
  return Math.round((count * 1000) / Math.max(1, entry.responseEnd - entry.responseStart));
}

/**
 * One WebSocket, from its opening to its end.
 *
 * `role` "steady" says something at each beat, "silent" once at the beginning, and "first" at each beat until `stop`. `result` comes with
 * `end`: `refused`, `swallowed` (never opened), `mute` (opened, and nothing came), `closed`, `silent` (nothing came any more), or `kept`.
 */
export class WebSocketProbe {
  #socket;
  #site;
  #seen;
  #missed = 0;
  #timers = [];
  #finish;
  #echoed;

  constructor(site, { role, openMs = 3_500, keepMs = Infinity }) {
    this.#site = site;
    this.#seen = { role, at: site.now(), opened: null, echoes: 0, end: "", age: 0 };
    this.result = new Promise((resolve) => (this.#finish = resolve));
    this.echoed = new Promise((resolve) => (this.#echoed = resolve));
    this.result.then(() => this.#echoed(false));
    this.#timers.push(setTimeout(() => this.#seen.opened === null && this.#end("swallowed"), openMs));
    if (keepMs < Infinity) this.#timers.push(setTimeout(() => this.stop(), keepMs));
    try {
      this.#connect();
    } catch {
      this.#end("refused");
    }
  }

  /** Ends it, if nothing else has. */
  stop() {
    const { opened, echoes } = this.#seen;
    this.#end(opened === null ? "swallowed" : echoes === 0 ? "mute" : "kept");
  }

  get #age() {
    return this.#site.now() - this.#seen.at;
  }

  #connect() {
    this.#socket = new WebSocket(this.#site.websocketUrl());
    this.#socket.onopen = () => {
      this.#seen.opened = this.#age;
      this.#socket.send("beat");
      const isSilent = this.#seen.role === "silent";
      this.#timers.push(setInterval(() => this.#beat(isSilent), BEAT_MS));
    };
    this.#socket.onmessage = () => {
      this.#seen.echoes += 1;
      this.#missed = 0;
      this.#echoed(true);
    };
    this.#socket.onclose = () => this.#end(this.#seen.opened === null ? "refused" : "closed");
  }

  #beat(isSilent) {
    if (isSilent && this.#seen.echoes > 0) return;
    this.#missed += 1;
    if (this.#missed > BEATS_MISSED_MAX) return this.#end(this.#seen.echoes > 0 ? "silent" : "mute");
    if (!isSilent) this.#socket.send("beat");
  }

  #end(how) {
    if (this.#seen.end) return;
    Object.assign(this.#seen, { end: how, age: this.#age });
    for (const timer of this.#timers) clearTimeout(timer);
    if (this.#socket) {
      this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
      this.#socket.close();
    }
    this.#finish(this.#seen);
  }
}

/**
 * One event stream with pieces at given times, `[{ at, bytes }]`.
 *
 * It ends as `whole`, `cut`, `silent` (as many beats without a byte), or `error` if it never began.
 */
export async function stream(site, { role, plan }) {
  const seen = { role, at: site.now(), plan, head: null, reads: [], pieces: 0, end: "", age: 0 };
  const abort = new AbortController();
  const longest = plan.reduce((gap, { at }, index) => Math.max(gap, at - (plan[index - 1]?.at ?? 0)), 0);
  let missed = -Math.ceil(longest / BEAT_MS);
  const age = () => site.now() - seen.at;
  const timer = setInterval(() => (missed += 1) > BEATS_MISSED_MAX && abort.abort(), BEAT_MS);
  // What is held back until the end says nothing before it.
  if (role !== "steady") missed = BEATS_LATE_MAX - BEATS_MISSED_MAX - Math.ceil(plan.at(-1).at / BEAT_MS);
  try {
    const url = site.url("stream", { plan: plan.map(({ at, bytes }) => `${at}.${bytes}`).join(",") });
    const response = await fetch(url, { cache: "no-store", signal: abort.signal });
    seen.head = age();
    if (!response.ok) return Object.assign(seen, { head: null, end: "error" });
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      missed = Math.min(missed, 0);
      seen.pieces += 1;
      seen.reads.push({ at: age(), bytes: value.length });
    }
    const bytes = seen.reads.reduce((sum, read) => sum + read.bytes, 0);
    // Without chunks, a connection that breaks off looks like one that has ended.
    seen.end = bytes >= plan.reduce((sum, piece) => sum + piece.bytes, 0) ? "whole" : "cut";
  } catch {
    seen.end = abort.signal.aborted ? "silent" : seen.head === null ? "error" : "cut";
  } finally {
    clearInterval(timer);
    seen.age = age();
  }
  return seen;
}
