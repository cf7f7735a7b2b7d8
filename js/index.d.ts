/// <reference path="./phoenix.d.ts" />

/** The transports that can carry a session, best first. */
export type TransportName = "websocket" | "sse" | "longpoll";

/** What a page may set. Times are in milliseconds. */
export interface LapwingOptions {
  /** Best first; what is missing is never used. Default: all three. */
  transports?: TransportName[];
  /** Until the next transport is started beside one that has said nothing. Default: 1,000. */
  staggerMs?: number;
  /** Until an attempt that has said nothing is given up. Default: 4,000. */
  attemptMs?: number;
  /** Silence of a busy stream, or age of something unacknowledged, that is worth a question. Default: 1,100. */
  quietMs?: number;
  /** Until a question without an answer means that the attachment is dead. Default: 1,200. */
  patienceMs?: number;
  /** Until a POST without an answer is repeated. Default: 1,500. */
  postMs?: number;
  /** Silence after which the server shows life, at first: it adapts. Default: 25,000 for WebSocket, 15,000 for the others. */
  heartbeatMs?: Partial<Record<TransportName, number>>;
  /** Pauses between attempts to resume. Default: 100 to 2,000. */
  retryMs?: { min?: number; max?: number };
  /** Frames kept until the server has them; beyond, the session is closed with 4413 once the server takes none for `stallMs`, and at sixteen times as many. Default: 4,096. */
  keptFramesMax?: number;
  /** Bytes kept until the server has them, as for frames. Default: 16 MiB. */
  keptBytesMax?: number;
  /** For how long the server may take nothing of what is more than may be kept. Default: 10,000 ms. */
  stallMs?: number;
  /** For how long a session that the page closed goes on with what the server may still lack. Default: 10,000. */
  lingerMs?: number;
  /**
   * For how long a page is not told that its session was lost while another one is opened, if a channel of it has asked for its
   * position (`recover`) on a topic that the server keeps. 0 to tell it at once. Default: 30,000.
   */
  reopenMs?: number;
  /** For how long a page believes what an earlier one learned. Default: 30 minutes. */
  memoryMs?: number;
  /** Only one request at a time on long-poll from the start. Default: found out. */
  singleRequest?: boolean;
  /** Whether event streams are read as bodies of answers; otherwise by an `EventSource`. By default where the browser can. */
  streams?: boolean;
  /**
   * Gives the auth token: before a session is opened, then with how the one before has ended, and again some time before the
   * login ends, as far as the server has said when (`Accept::expires_at`). Instead of phoenix.js's `authToken`. One that fails, gives no
   * string or takes longer than 30 seconds closes the session that was to be opened with 4400, or, where that was to take the place of
   * a lost one, is asked again for as long as `reopenMs` says; a login that was to be renewed is tried again.
   */
  getToken?: (before?: { code: number; reason: string }) => string | Promise<string>;
  /** Called with `status()` after each change. */
  onStatus?: (status: LapwingStatus) => void;
  /** Called like the event `gap`. */
  onGap?: (gap: LapwingGap) => void;
  /** Called like the event `recovered`. */
  onRecovered?: (recovered: LapwingRecovered) => void;
  /** Instead of the global one. */
  fetch?: typeof fetch;
  /** Instead of the global one; `null` for none. */
  WebSocket?: (new (url: string, protocols?: string | string[]) => unknown) | null;
  /** Instead of the global one, for where bodies of answers cannot be read as they come; `null` for none. */
  EventSource?: (new (url: string) => unknown) | null;
  /** Instead of `localStorage`; `null` for none. */
  storage?: Pick<Storage, "getItem" | "setItem"> | null;
}

/**
 * A channel whose session was lost, and which cannot be given what it missed. It has an error behind that, after which phoenix.js
 * joins it again.
 */
export interface LapwingGap {
  topic: string;
  /**
   * `"not_kept"`: the server keeps nothing of the topic, or the channel has not asked for its position. `"epoch"`, `"trimmed"`, `"too_many"`,
   * `"unreadable"`: the server's `_reason`. `"refused"`: the server did not let it join. `"timeout"`: it did not answer in time.
   */
  reason: string;
}

/** A channel that goes on in another session: it gets all that it missed. */
export interface LapwingRecovered {
  topic: string;
  /** How many messages that are, which follow. */
  replayed: number;
}

/** Something that did not work. */
export interface LapwingFailure {
  transport: TransportName;
  /**
   * `"silent"`: it said nothing in time. `"error"`, `"closed"`, `"closed CODE"`, `"http STATUS"`: as it says. `"mute"`: it went
   * silent and did not answer. `"post"`: its requests were not answered. `"superseded"`: another attachment carries the session.
   * `"overtaken"`: it came too late. `"slower"`: another one was proven first, when this had had `ms`. `"refused WORD"`, `"no lapwing"`,
   * `"breach"`: the server's, or whoever stands before it. `"cut"`: by `cut()`. `"no stream"`: `fetch` gives bodies as a whole.
   */
  how: string;
  /** Milliseconds since 1970. */
  at: number;
  /** Milliseconds from its start, for `"slower"` alone. */
  ms?: number;
}

/** What can be said of a session. */
export interface LapwingStatus {
  /**
   * `"resuming"`: the session is open, and no attachment carries it at the moment. `"reopening"`: it was lost, and another one is
   * being opened.
   */
  state: "connecting" | "open" | "resuming" | "reopening" | "closing" | "closed";
  /** What carries the session. */
  transport: TransportName | null;
  /** Since when, in milliseconds since 1970. */
  since: number | null;
  /** Why this transport carries it. */
  why: string;
  /** What is being tried. */
  trying: TransportName[];
  /** What is tried next, and when. */
  next: { transport: TransportName; at: number } | null;
  /** What failed lately, oldest first. */
  failures: LapwingFailure[];
  /** The last round trip. */
  rtt: number | null;
  /** Silence after which the server shows life. */
  heartbeat: number | null;
  /** Whether the network lets only one request at a time through. */
  singleRequest: boolean;
  /** How many frames the page has sent, and how many of them the server has. */
  sent: number;
  acknowledged: number;
  /** How many frames have come. */
  received: number;
  /** How many times the session was carried on. */
  resumes: number;
  /** How many times another session took the place of one that was lost. The numbers above are of the last. */
  reopens: number;
  /** When the session was opened, in milliseconds since 1970. */
  openedAt: number | null;
  /** For how long the server keeps the session while nothing carries it. */
  windowMs: number | null;
}

/** The close event: the code is the server's, or one of 4400, 4401, 4403, 4404, 4408, 4413, 4422, 4429, 4503 and 1006 (see README). */
export interface LapwingCloseEvent extends Event {
  readonly code: number;
  readonly reason: string;
  readonly wasClean: boolean;
}

/** The events of a `Lapwing`. */
export interface LapwingEvents {
  open: Event;
  message: MessageEvent<string | ArrayBuffer | Blob>;
  error: Event;
  close: LapwingCloseEvent;
  status: Event;
  gap: Event & LapwingGap;
  recovered: Event & LapwingRecovered;
}

/**
 * A session with a lapwing mount, in the shape of a `WebSocket`.
 *
 * It opens once and closes once, whatever happens to the connections that carry it.
 */
export class Lapwing extends EventTarget {
  static readonly CONNECTING: 0;
  static readonly OPEN: 1;
  static readonly CLOSING: 2;
  static readonly CLOSED: 3;
  /** All that are not closed. */
  static readonly instances: ReadonlySet<Lapwing>;
  /**
   * Lets sessions be tried again that the server refused with 4401 or 4403. By default that takes other credentials: another token,
   * other parameters, another page. Needed after a login by a cookie, of which the transport does not know.
   */
  static forgetRefusals(): void;
  /** The class with other options. */
  static with(options: LapwingOptions): typeof Lapwing;

  /** `url` is the mount's, with or without `/websocket` at its end. */
  constructor(url: string | URL, protocols?: string | string[]);

  readonly url: string;
  readonly readyState: 0 | 1 | 2 | 3;
  readonly bufferedAmount: number;
  readonly extensions: string;
  readonly protocol: string;
  readonly skipHeartbeat: true;
  binaryType: "arraybuffer" | "blob";
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent<string | ArrayBuffer | Blob>) => void) | null;
  onerror: ((event: Event) => void) | null;
  onclose: ((event: LapwingCloseEvent) => void) | null;

  /** Sends a text or bytes: now, or as soon as there is an attachment again. Throws while connecting, and at anything else. */
  send(data: string | ArrayBuffer | ArrayBufferView): void;
  /** Ends the session, here and on the server, once that has what was sent before. */
  close(code?: number, reason?: string): void;
  /** What carries the session, since when and why, what failed before, and how it is doing. */
  status(): LapwingStatus;
  addEventListener<Type extends keyof LapwingEvents>(
    type: Type,
    listener: (event: LapwingEvents[Type]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
  /** Loses the current attachment, as by a network that fails. For tests and demonstrations. */
  cut(): void;
  /** Does not use a transport any more. */
  forbid(name: TransportName): void;
  /** Uses a transport again. */
  allow(name: TransportName): void;
  /** Moves the session to a transport and prefers it from now on; without a name, back to the best. */
  switchTo(name?: TransportName): void;
}

export default Lapwing;
