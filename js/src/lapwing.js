// The class that pages see: a WebSocket in shape, a session in fact.

import { addressOf } from "./address.js";
import { copyOf } from "./bytes.js";
import { Login } from "./login.js";
import { complete, possible } from "./options.js";
import { followPage } from "./page.js";
import { pathTo } from "./path.js";
import { noWishes } from "./race.js";
import { credentialsOf, forgetRefusals, noteRefusal, refusalOf } from "./refusals.js";
import { ENDS, Session } from "./session.js";
import { Sessions } from "./sessions.js";
import { statusOf } from "./status.js";
import { Target, eventOf, invalidState } from "./target.js";

const EVENTS = ["open", "message", "error", "close"];

const CONNECTING = 0;
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;

/** What a page may listen to besides, by the option that hears it, too. */
const TOLD = { gap: "onGap", recovered: "onRecovered" };

/** How the last session of each class ended, for its `getToken`. */
const lastEnds = new WeakMap();

/**
 * A session with a lapwing mount, in the shape of a `WebSocket`.
 *
 * It opens once and closes once, whatever happens to the connections that carry it.
 *
 *     new Socket("/socket", { transport: Lapwing })
 */
export class Lapwing extends Target {
  static CONNECTING = CONNECTING;
  static OPEN = OPEN;
  static CLOSING = CLOSING;
  static CLOSED = CLOSED;

  /** What `with` has set. */
  static options = {};

  /** All that are not closed, for pages that have no other way to them. */
  static instances = new Set();

  /** Lets those try again that were refused for good: after a login by a cookie, of which no transport knows. */
  static forgetRefusals() {
    forgetRefusals();
  }

  /** The class with other options: phoenix.js has no way to hand any on. */
  static with(options) {
    return class Lapwing extends this {
      static options = { ...super.options, ...options };
    };
  }

  readyState = CONNECTING;
  binaryType = "arraybuffer";
  extensions = "";
  protocol = "";
  onopen = null;
  onmessage = null;
  onerror = null;
  onclose = null;
  /** The session has its own signs of life: phoenix.js need not add another. */
  skipHeartbeat = true;
  #address;
  #login;
  #sessions;
  #path;
  #unfollow;

  /** `url` is the mount's, as phoenix.js gives it, or without its `/websocket`. */
  constructor(url, protocols) {
    super();
    this.url = String(url);
    for (const type of EVENTS) this.addEventListener(type, (event) => this[`on${type}`]?.(event));
    const options = complete(this.constructor.options);
    // As listeners, so that what they throw is reported and ends nothing.
    this.addEventListener("status", () => options.onStatus?.(this.status()));
    for (const [type, option] of Object.entries(TOLD)) this.addEventListener(type, (event) => options[option]?.(event));
    const address = addressOf(this.url, protocols);
    this.#address = address;
    this.#path = pathTo(address.key, options);
    const transports = possible(options);
    const wishes = noWishes(transports);
    this.#sessions = new Sessions({
      make: (on) => new Session({ address, options, transports, path: this.#path, wishes, on }),
      begin: (session, before) => this.#begin(session, options.getToken, before),
      on: this.#hears(),
      reopenMs: options.reopenMs,
      retryMs: options.retryMs,
      lingerMs: options.lingerMs,
    });
    this.#login = new Login({ url: this.url, address, getToken: options.getToken, send: (frame) => this.#sessions.sendOwn(frame) });
    this.#unfollow = followPage(this.#sessions, () => this.#leave());
    Lapwing.instances.add(this);
    // Whoever made this has had no time to listen.
    queueMicrotask(() => this.#sessions.start(lastEnds.get(this.constructor)));
  }

  /** Sends a text or bytes: now, or as soon as there is an attachment again. */
  send(data) {
    if (this.readyState === CONNECTING) throw invalidState("still connecting");
    if (this.readyState === OPEN) this.#sessions.send(frameOf(data));
  }

  /** Ends the session, here and on the server. */
  close(code = 1000, reason = "") {
    if (this.readyState >= CLOSING) return;
    this.readyState = CLOSING;
    this.#sessions.close(code, reason);
  }

  /** Bytes that have not left this machine, as far as is known: of a WebSocket what is kept until the server has it does not count. */
  get bufferedAmount() {
    const { race, ledger } = this.#sessions.current;
    return race.current ? race.current.bufferedAmount : ledger.bytes;
  }

  /** What carries the session, since when and why, what failed before, and how it is doing. */
  status() {
    return statusOf(this.#sessions, this.readyState);
  }

  /** Loses the current attachment, as by a network that fails. For tests and demonstrations. */
  cut() {
    this.#sessions.current.race.cut();
  }

  /** Does not use a transport any more. */
  forbid(name) {
    this.#sessions.current.race.forbid(name);
  }

  /** Uses a transport again. */
  allow(name) {
    this.#sessions.current.race.allow(name);
  }

  /** Moves the session to a transport and prefers it from now on; without a name, back to the best. */
  switchTo(name) {
    this.#sessions.current.race.prefer(name);
  }

  // Nobody is asked who has said no.
  async #begin(session, getToken, before) {
    try {
      if (getToken) await this.#login.begin(before);
    } catch (error) {
      // Whoever gives tokens may be away together with the server: where a session is to take the place of another, it is tried again.
      return session.fail(ENDS.token, `no token: ${error?.message ?? error}`, { isAway: true });
    }
    if (session.isOver) return;
    const refusal = refusalOf(credentialsOf(this.url, this.#address));
    if (refusal) session.fail(refusal.code, refusal.reason);
    else session.start();
  }

  // The page is going: there is no time for an answer.
  #leave() {
    this.readyState = CLOSING;
    this.#sessions.leave({ code: 1000, reason: "" });
  }

  #hears() {
    return {
      loggedIn: (ms) => this.#login.lasts(ms),
      opened: () => {
        this.readyState = OPEN;
        this.#emit("open");
        this.#changed();
      },
      message: (frame) => this.#login.takes(frame) || this.#deliver(frame),
      told: ({ type, ...about }) => this.#emit(type, about),
      over: (how) => this.#over(how),
      changed: () => this.#changed(),
    };
  }

  #deliver(frame) {
    if (this.readyState !== OPEN) return;
    const isBlob = typeof frame !== "string" && this.binaryType === "blob";
    this.#emit("message", { data: isBlob ? new Blob([frame]) : frame });
  }

  // Later, as a WebSocket does it, so that whoever closes it can still listen.
  #over({ code, reason, isError, isUnwanted }) {
    this.readyState = CLOSING;
    this.#login.stop();
    lastEnds.set(this.constructor, { code, reason });
    if (isUnwanted) noteRefusal(credentialsOf(this.url, this.#address), { code, reason });
    this.#unfollow();
    Lapwing.instances.delete(this);
    queueMicrotask(() => {
      this.readyState = CLOSED;
      if (isError) this.#emit("error", { message: reason });
      this.#emit("close", { code, reason, wasClean: code !== ENDS.unreachable });
      this.#changed();
    });
  }

  #changed() {
    this.#path.save();
    this.#emit("status");
  }

  #emit(type, properties) {
    this.dispatchEvent(eventOf(type, properties));
  }
}

// What is kept must not change with what the page does to it afterwards.
function frameOf(data) {
  const frame = typeof data === "string" ? data : copyOf(data);
  // The bytes of a Blob come too late to keep their order.
  if (frame === undefined) throw new TypeError("text, an ArrayBuffer or a view of one can be sent, and nothing else");
  return frame;
}
