// How a page that has a `getToken` stays logged in: it is asked before a session is opened, and before its login ends.
//
//     getToken() ──▶ !open …, with the token     !opened … 3600000
//        …           an hour later, less two minutes
//     getToken() ──▶ [null, "lapwing:1", "phoenix", "token", {"token": "…"}]
//                ◀── [null, "lapwing:1", "phoenix", "phx_reply", {"status": "ok", "response": {"expires_in": 3600000}}]

import { withToken } from "./address.js";

/** How long before its end a login is renewed: so much, and no more than this part of it. A hidden page has a timer a minute. */
const EARLY = { ms: 120_000, part: 1 / 4 };
/** Until a renewal that failed is tried again. */
const AGAIN_MS = 10_000;
/** How long a page has to get a token; so long a server waits for what a program decides. */
const TOKEN_MS = 30_000;
/** The longest that a timer can wait. */
const TIMER_MS_MAX = 2 ** 31 - 1;
/** What a `getToken` has not answered in time: its page may be asking somebody, who is not asked twice. */
const late = new WeakMap();
/** No ref of phoenix.js, which counts, is like it. */
const REF = "lapwing:";

/** The login of one session. `send` sends a frame in it. */
export class Login {
  #getToken;
  #address;
  #vsn;
  #send;
  #timer;
  /** How many tokens were sent, and the ref of the one that was not answered. */
  #count = 0;
  #pending = null;
  #endsAt = Infinity;

  constructor({ url, address, getToken, send }) {
    this.#getToken = getToken;
    this.#address = address;
    this.#vsn = /[?&]vsn=([^&]*)/.exec(url)?.[1] ?? "1.0.0";
    this.#send = send;
  }

  /** Gets the token that a session is opened with. `before` is how the last one ended. */
  async begin(before) {
    await this.#fetchToken(before);
  }

  /** The login is good for so long; `undefined` for ever. */
  lasts(ms) {
    clearTimeout(this.#timer);
    if (!this.#getToken || ms === undefined) return;
    this.#endsAt = Date.now() + ms;
    this.#renewIn(ms - Math.min(EARLY.ms, ms * EARLY.part));
  }

  /** Whether a frame is the answer to a new token, which is nobody else's business. */
  takes(frame) {
    if (!this.#pending || typeof frame !== "string" || !frame.includes(this.#pending)) return false;
    const message = JSON.parse(frame);
    const [ref, payload] = Array.isArray(message) ? [message[1], message[4]] : [message.ref, message.payload];
    if (ref !== this.#pending) return false;
    this.#pending = null;
    const { status, response } = payload;
    if (status === "ok") this.lasts(response.expires_in);
    // Without a code it is no refusal: the server takes no tokens in a session.
    else if (response.code) this.#renewIn(AGAIN_MS);
    return true;
  }

  stop() {
    clearTimeout(this.#timer);
    this.#getToken = undefined;
  }

  #renewIn(ms) {
    clearTimeout(this.#timer);
    const wait = Math.min(ms, TIMER_MS_MAX);
    this.#timer = setTimeout(() => (wait < ms ? this.#renewIn(ms - wait) : this.#renew()), Math.max(0, wait));
    // It keeps no program alive whose session does not.
    this.#timer.unref?.();
  }

  async #renew() {
    // A session whose login has ended is over, and hears so.
    if (Date.now() > this.#endsAt) return;
    let token;
    try {
      token = await this.#fetchToken();
    } catch {
      return this.#renewIn(AGAIN_MS);
    }
    if (!this.#getToken) return;
    this.#count += 1;
    this.#pending = `${REF}${this.#count}`;
    this.#send(this.#message({ token }));
  }

  /** Asks the page for a token, which goes along from now on. */
  async #fetchToken(before) {
    const getToken = this.#getToken;
    const answer = late.get(getToken) ?? getToken(before);
    late.delete(getToken);
    const token = await within(TOKEN_MS, answer, () => late.set(getToken, answer));
    if (typeof token !== "string") throw new TypeError("getToken gives a string");
    withToken(this.#address, token);
    return token;
  }

  #message(payload) {
    const [topic, event, ref] = ["phoenix", "token", this.#pending];
    return JSON.stringify(this.#vsn.startsWith("1.") ? { topic, event, payload, ref } : [null, ref, topic, event, payload]);
  }
}

/** What a promise comes to, in so long; `miss` hears that it has not. */
async function within(ms, promise, miss) {
  let timer;
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(() => {
      miss();
      reject(new Error("getToken takes too long"));
    }, ms);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
