// What the attachments of HTTP requests have in common.

import { sayGoodbye } from "../goodbye.js";
import { Upstream } from "../upstream.js";
import { Attachment } from "./attachment.js";

/** For how long an attachment that lost may still say that it opened a session. */
const LATE_MS = 10_000;

/** An attachment whose way up is POSTs. `failed` hears of it when they do not get through. */
export class HttpAttachment extends Attachment {
  request;
  #retiring;

  constructor(session, name, failed) {
    super(session, name);
    this.upstream = new Upstream(this, failed);
  }

  get url() {
    return this.session.address[this.name];
  }

  finish(ledger) {
    this.#finish(this.session.token, ledger);
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
    this.upstream.stop();
    this.request?.abort();
  }

  control(control) {
    if (!this.#retiring) return super.control(control);
    if (control.word === "opened") this.#finish(control.token);
    else this.drop();
  }

  wait() {
    this.upstream.wait();
  }

  flush() {
    this.upstream.flush();
  }

  ack() {
    this.upstream.ack();
  }

  ping() {
    this.upstream.ping();
  }

  /** What is to be told of the path goes with the next request: for it alone there is none. */
  tell() {}

  /** What waits is in the ledger, and what is under way is known to have left only once it is acknowledged. */
  get bufferedAmount() {
    return this.session.ledger.bytes;
  }

  /** Whether the way up is what does not work. */
  isStuck(now) {
    return this.upstream.isStuck(now);
  }

  revive() {
    return false;
  }

  #finish(token, ledger) {
    sayGoodbye(this.session.options.fetch, this.url, token, ledger);
    this.drop();
  }
}
