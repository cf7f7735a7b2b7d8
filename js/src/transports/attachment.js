// What attachments of all transports have in common.

import { Breach, readLine } from "../lines.js";

/**
 * One connection, or one row of requests, that carries a session or tries to.
 *
 * It tells its session, and nobody else, what it hears until it is over. `release` is each attachment's own: it lets go of whatever it holds. So is
 * `finish(ledger)`: it ends the session on the server, after what the ledger keeps, if it is given.
 */
export class Attachment {
  /** Whether it asked for a new session rather than for an old one. */
  isOpening = false;
  isOver = false;
  /** When it asked for the session. */
  helloAt = 0;
  /** The number of the last frame that it brought. */
  number = 0;

  constructor(session, name) {
    this.session = session;
    this.name = name;
  }

  /** The line that asks for the session, from which on frames count. `beat` is the transport's own if not given. */
  hello(beat) {
    const { line, received, isOpening } = this.session.hello(this, beat);
    this.number = received;
    this.isOpening = isOpening;
    return line;
  }

  /** A line or a text message came. */
  receive(text) {
    if (this.isOver) return;
    this.guard(() => {
      const { control, frame } = readLine(text);
      if (control) this.control(control);
      else if (frame !== undefined) this.frame(frame);
    });
  }

  control(control) {
    this.session.handleControl(this, control);
  }

  frame(frame) {
    this.number += 1;
    this.session.handleFrame(this, this.number, frame);
  }

  /** Ends the attachment, and not the session, if the server breaks the protocol: after a resume both sides agree again. */
  guard(deed) {
    try {
      deed();
    } catch (error) {
      if (!(error instanceof Breach)) throw error;
      this.end("breach");
    }
  }

  /** Whether something can be said by it. */
  get isOpen() {
    return !this.isOver;
  }

  /** How many frames it has sent of which nothing is known; what goes in requests is counted there. */
  get inFlight() {
    return 0;
  }

  /** Whether bytes are known to have left since this was last asked. */
  hasMoved() {
    return false;
  }

  /** The server is busy: what it has not answered is no loss. */
  wait() {}

  /** The attachment has come to its end by itself. */
  end(how) {
    if (this.isOver) return;
    const { inFlight } = this;
    this.drop();
    this.session.handleEnd(this, how, inFlight);
  }

  /** Lets go of the attachment. Nothing more is heard of it. */
  drop() {
    this.isOver = true;
    this.release();
  }

  /** Another attachment was faster. A session that this one opens all the same must not be left to the server. */
  retire() {
    this.drop();
  }
}
