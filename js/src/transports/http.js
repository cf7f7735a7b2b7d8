// What the wires of HTTP requests have in common.

import { sayGoodbye } from "../goodbye.js";
import { Up } from "../upstream.js";
import { Wire } from "./attachment.js";

/** For how long a wire that lost may still say that it opened a session. */
const LATE_MS = 10_000;

/** A wire whose way up is POSTs. `failed` hears of it when they do not get through. */
export class HttpWire extends Wire {
  request;
  #retiring;

  constructor(link, name, failed) {
    super(link, name);
    this.up = new Up(this, failed);
  }

  get url() {
    return this.link.address[this.name];
  }

  /** What else opens a session. */
  get headers() {
    return this.isOpening ? this.link.address.headers : {};
  }

  finish(ledger) {
    this.#finish(this.link.token, ledger);
  }

  // Aborting would leave the session to the server, which may have opened it already: only its token can end it.
  retire() {
    if (!this.isOpening || this.isOver) return this.drop();
    this.#retiring = setTimeout(() => this.drop(), LATE_MS);
    // Nobody need wait for it who has nothing else to do.
    this.#retiring.unref?.();
  }

  release() {
    clearTimeout(this.#retiring);
    this.up.stop();
    this.request?.abort();
  }

  control(control) {
    if (!this.#retiring) return super.control(control);
    if (control.word === "opened") this.#finish(control.token);
    else this.drop();
  }

  wait() {
    this.up.wait();
  }

  flush() {
    this.up.flush();
  }

  ack() {
    this.up.ack();
  }

  ping() {
    this.up.ping();
  }

  /** Nothing: what waits is in the ledger, and `finish` sends it. */
  get bufferedAmount() {
    return 0;
  }

  /** Whether the way up is what does not work. */
  isStuck(now) {
    return this.up.isStuck(now);
  }

  revive() {
    return false;
  }

  #finish(token, ledger) {
    sayGoodbye(this.link.options.fetch, this.url, token, ledger);
    this.drop();
  }
}
