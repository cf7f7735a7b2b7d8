// What a page may set, with the reasons for what it need not set.

/** The defaults. */
export const defaults = {
  /** Best first. What is missing here is never used. */
  transports: ["websocket", "sse", "longpoll"],
  /** Until the next transport is started beside one that has said nothing. Good paths answer within a second. */
  staggerMs: 1_000,
  /** Until an attempt that has said nothing is given up. Others run by then, so it may be long enough for slow links. */
  attemptMs: 4_000,
  /** Silence of a busy stream, or age of something unacknowledged, that is worth a question. */
  quietMs: 1_100,
  /** Until a question without an answer means that the attachment is dead; with `quietMs` it leaves time to resume within 5 s. */
  patienceMs: 1_200,
  /** Until a POST without an answer is repeated. Twice that, and the transport is given up. */
  postMs: 1_500,
  /** Silence after which the server shows life. Proxies kill what is idle for 30 s or more, streams sometimes sooner. */
  heartbeatMs: { websocket: 25_000, sse: 15_000, longpoll: 15_000 },
  /** Pauses between attempts to resume: short at first, since most losses are brief, and never so long that a session runs out. */
  retryMs: { min: 100, max: 2_000 },
  /**
   * What is kept until the server has it; more, sixteen times at most, only while the server takes some of it. Beyond that the session
   * is closed. The largest message has to leave room for others.
   */
  keptFramesMax: 4_096,
  keptBytesMax: 16 * 1024 * 1024,
  /** For how long the server may take nothing of what is more than may be kept: longer than a lost attachment takes to be replaced. */
  stallMs: 10_000,
  /** For how long a session that the page closed goes on with what the server may still lack. */
  lingerMs: 10_000,
  /**
   * For how long a page is not told that its session was lost while another one is opened and its kept channels are joined again; 0 to
   * tell it at once. A server that is started anew is there again by then, and a person who waits has not given up.
   */
  reopenMs: 30_000,
  /** For how long a page believes what an earlier one learned. Networks change. */
  memoryMs: 30 * 60_000,
  /** Whether long-poll has no more than one request at a time from the start. Otherwise it finds out. */
  singleRequest: false,
  /** Gives the token to open a session with, and the next before its login ends. */
  getToken: undefined,
  /** Called with `status()` after each change. */
  onStatus: undefined,
  /** Called with `{ topic, reason }` of a channel whose session was lost, and which cannot be given what it missed. */
  onGap: undefined,
  /** Called with `{ topic, replayed }` of a channel that goes on in another session, with so many messages that it missed. */
  onRecovered: undefined,
  /** Whether event streams are read as bodies of answers; otherwise by an `EventSource`. By default where the browser can. */
  streams: undefined,
  /** Other implementations than the global ones; `null` for none. */
  fetch: undefined,
  WebSocket: undefined,
  EventSource: undefined,
  storage: undefined,
};

/** The options of a page, complete. Globals are looked up now, so that they can be set after this file was loaded. */
export function complete(options) {
  return {
    ...defaults,
    // Called through the global object: browsers refuse it as the method of another.
    fetch: globalThis.fetch && ((...args) => globalThis.fetch(...args)),
    WebSocket: globalThis.WebSocket,
    EventSource: globalThis.EventSource,
    streams: canStream(),
    storage: localStorageOfPage(),
    ...withoutUndefined(options),
    heartbeatMs: { ...defaults.heartbeatMs, ...options.heartbeatMs },
    retryMs: { ...defaults.retryMs, ...options.retryMs },
  };
}

/** Those of the transports that this environment can do. */
export function possible({ transports, fetch, streams, WebSocket, EventSource }) {
  const can = {
    websocket: Boolean(WebSocket),
    sse: Boolean(fetch && (streams || EventSource)),
    longpoll: Boolean(fetch),
  };
  return transports.filter((name) => can[name]);
}

/** Whether the bodies of answers can be read as they come. */
export function canStream() {
  return typeof ReadableStream === "function" && typeof Response === "function" && "body" in Response.prototype;
}

function withoutUndefined(options) {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function localStorageOfPage() {
  try {
    return globalThis.localStorage;
  } catch {
    // Forbidden to this page: nothing is remembered.
    return undefined;
  }
}
