// The session over one WebSocket.

import { bytesOf } from "../bytes.js";
import { encodeMessage, say } from "../lines.js";
import { Attachment } from "./attachment.js";

const SUBPROTOCOL = "lapwing.1";
/** The close code after a breach of the protocol. */
const BREACH = 4002;

/**
 * One WebSocket.
 *
 * As a probe, while another attachment carries the session, it proves the way by a question before it asks for the session, which
 * would take that over; and it has to last for `settleMs`.
 */
export class WebSocketAttachment extends Attachment {
  #socket;
  #isProbe;
  #settleMs;
  #settling;
  /** How many of our frames were sent by this attachment or before it; `null` until the server has said it. */
  #sent = null;
  #buffered = 0;
  /** The bytes that the socket was given, and how many of them had left when that was last asked. */
  #given = 0;
  #left = 0;

  constructor(session, { isProbe, settleMs }) {
    super(session, "websocket");
    this.#isProbe = isProbe;
    this.#settleMs = settleMs;
    try {
      this.#connect();
    } catch {
      // A page that may not connect there gets an exception.
      queueMicrotask(() => this.end("error"));
    }
  }

  /** Sends what was not sent yet. */
  flush() {
    if (this.#sent === null) return;
    const { ledger, frameLimit } = this.session;
    const frames = ledger.after(this.#sent, frameLimit.max - this.inFlight);
    for (const frame of frames) this.#send(encodeMessage(frame));
    this.#sent += frames.length;
    // The next may go when these are known to have arrived.
    if (frames.length && frameLimit.max < Infinity) this.ping();
  }

  ack() {
    this.#send(say.ack(this.session.ledger.tell()));
  }

  ping() {
    this.#send(say.ping);
  }

  /** Says what is to be told of the path. */
  tell() {
    const { untold } = this.session;
    if (!this.isOpen) return;
    this.#send(untold);
    this.session.told(untold);
  }

  finish(ledger) {
    if (ledger) this.flush();
    this.#send(say.close);
    this.drop();
  }

  retire() {
    if (this.isOpening) this.#send(say.close);
    this.drop();
  }

  release() {
    clearTimeout(this.#settling);
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
  }

  get isOpen() {
    return this.#socket.readyState === 1;
  }

  get inFlight() {
    return Math.max(0, (this.#sent ?? 0) - this.session.ledger.acknowledged);
  }

  /** The bytes that have not left. */
  get bufferedAmount() {
    return this.#socket.bufferedAmount + (this.#sent === null ? 0 : this.session.ledger.bytesAfter(this.#sent));
  }

  hasMoved() {
    const left = this.#given - this.#socket.bufferedAmount;
    const hasMoved = left > this.#left;
    this.#left = left;
    return hasMoved;
  }

  /** A WebSocket has but one way. */
  isStuck() {
    return false;
  }

  /** Whether it is only slow: bytes have left since the last time this was asked, and others still wait. */
  revive() {
    const before = this.#buffered;
    this.#buffered = this.#socket.bufferedAmount;
    return this.#buffered > 0 && this.#buffered !== before;
  }

  control(control) {
    if (control.word === "pong" && this.#isProbe) return this.#proven();
    if (control.word === "opened") this.#sent = 0;
    if (control.word === "resumed") {
      // A request on another attachment has brought more since: the server would number what we send from here, and of that
      // we keep no more than what it lacks. The next resume has the better count.
      if (control.received < this.session.ledger.acknowledged) return this.end("overtaken");
      this.#sent = control.received;
    }
    super.control(control);
  }

  #connect() {
    const { options, address } = this.session;
    const socket = new options.WebSocket(address.websocket, [SUBPROTOCOL, ...address.offers]);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#opened();
    socket.onmessage = ({ data }) => this.#received(data);
    socket.onclose = ({ code }) => this.#closed(code);
    // The close that follows says all there is.
    socket.onerror = () => {};
    this.#socket = socket;
  }

  #opened() {
    if (this.#socket.protocol !== SUBPROTOCOL) this.end("no lapwing");
    else if (this.#isProbe) this.ping();
    else this.#greet();
  }

  #greet() {
    const greet = () => this.#send(this.hello());
    if (this.#settleMs) this.#settling = setTimeout(greet, this.#settleMs);
    else greet();
  }

  #proven() {
    this.#isProbe = false;
    this.#greet();
  }

  #closed(code) {
    // A server that takes no question before the first line says so with this code, which proves the way as well.
    if (code !== BREACH || !this.#isProbe) return this.end(code === 1006 ? "closed" : `closed ${code}`);
    this.#isProbe = false;
    this.#connect();
  }

  #received(data) {
    this.session.heard(this);
    if (typeof data === "string") this.receive(data);
    else this.guard(() => this.frame(data));
  }

  #send(data) {
    if (this.#socket.readyState !== 1) return;
    this.#given += bytesOf(data);
    this.#socket.send(data);
  }
}
