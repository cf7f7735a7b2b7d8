// One session: its counts, its token, its end. What carries it is the carrier's business.

import { bytesOf } from "./bytes.js";
import { Carrier } from "./race.js";
import { now, steady } from "./clock.js";
import { FrameLimit, isLasting } from "./framelimit.js";
import { sayGoodbye } from "./goodbye.js";
import { Ledger } from "./ledger.js";
import { encodeLine, say } from "./lines.js";
import { Watch } from "./watch.js";

/** Codes of a session's end that no server sent. A client connects anew after each of them. */
export const ENDS = {
  refused: 4404,
  forbidden: 4403,
  full: 4503,
  expired: 4408,
  overflow: 4413,
  unsendable: 4422,
  unreachable: 1006,
};

/** What goes with frames in the body of a POST: three control lines at their longest. */
const HEAD_BYTES = 3 * 257;
/** A character of a text has no more bytes than this in a line. */
const LINE_BYTES_MAX = 6;
/** How a session ends that its page has closed and that does not get through with what was sent before. */
const UNDELIVERED = { code: ENDS.unreachable, reason: "not everything was delivered" };
/** A wire that could be replaced this fast was not lost with the whole network. */
const REPLACED_MS = 3_000;

/**
 * A session from the first attempt to open it to its end.
 *
 * `on` hears of it: `opened`, `message(frame)`, `over({ code, reason, isError })` and `changed`.
 */
export class Session {
  ledger;
  watch;
  frameLimit = new FrameLimit();
  token = null;
  windowMs = Infinity;
  holdMs = 0;
  frameBytesMax = Infinity;
  bodyBytesMax = Infinity;
  resumes = 0;
  openedAt = null;
  isOnline = true;
  isOver = false;
  #on;
  #path;
  #carrier;
  #heardAt = steady();
  /** How it is going to end, once the server has what it may lack. */
  #closing = null;
  #idleDeath = null;
  #due = Infinity;
  #timer;
  #lingering;

  /** `path` is what the page knows of the way there: `{ chooser, beats }`. */
  constructor({ address, options, transports, path, on }) {
    Object.assign(this, { address, options, transports });
    this.#on = on;
    this.#path = path;
    this.ledger = new Ledger(options);
    this.watch = new Watch(options);
    this.#carrier = new Carrier(this, path.chooser, transports);
    if (options.singleRequest) path.chooser.isSingle = true;
  }

  /** Opens the session. A crowd that lost its server comes back spread. */
  start() {
    if (this.#path.chooser.roundsAway) this.#carrier.raceSoon(false);
    else this.#carrier.race();
  }

  /** Sends a frame: now, or when there is a wire. */
  send(frame) {
    if (this.isOver || this.#closing) return;
    if (this.#isTooLarge(frame)) {
      return this.#fail(ENDS.unsendable, `a message of ${bytesOf(frame)} bytes is more than the server takes`);
    }
    if (!this.ledger.append(frame, now())) return this.#fail(ENDS.overflow, "too much is not acknowledged");
    this.#carrier.current?.flush();
    this.#arm();
  }

  /** Ends the session here and on the server, once that has all that was sent, or after `lingerMs`. */
  close(code, reason) {
    if (this.isOver || this.#closing) return;
    const how = { code, reason };
    if (!this.token || !this.#isOwing) return this.leave(how);
    this.#closing = how;
    this.#lingering = setTimeout(() => this.leave(UNDELIVERED), this.options.lingerMs);
    this.#carrier.hurry();
    this.#carrier.current?.ping();
  }

  /** Ends the session at once: what the server may lack goes along as far as there is room. */
  leave(how) {
    this.#finish(how, this.ledger);
  }

  /** Something may have broken the wire unseen, a sleep or another network: makes sure. */
  verify() {
    this.#carrier.hurry();
    this.watch.suspect(now());
    this.#arm();
  }

  setOnline(isOnline) {
    this.isOnline = isOnline;
    if (!isOnline) return;
    this.#carrier.startOver();
    this.verify();
  }

  /** Lets go of the wires, so that the page can be put aside. The session goes on when it comes back in time. */
  suspend() {
    // One that is about to end, as phoenix.js has it when its page goes, has no later to wait for.
    if (this.#closing) return this.leave(this.#closing);
    this.#carrier.stop();
    clearTimeout(this.#timer);
  }

  resume() {
    if (!this.isOver) this.#carrier.hurry();
  }

  get carrier() {
    return this.#carrier;
  }

  get rtt() {
    return this.watch.rtt;
  }

  get isSingle() {
    return this.#path.chooser.isSingle;
  }

  becomeSingle() {
    this.#path.chooser.isSingle = true;
    this.changed();
  }

  beatMs(name) {
    // What is kept for the next page is in the time of the wall.
    return this.#path.beats[name].ms(Date.now(), this.windowMs);
  }

  // What follows is called by wires and by the carrier.

  /** The line by which a wire asks for the session. */
  hello(wire, beat = this.beatMs(wire.name)) {
    wire.helloAt = now();
    this.#carrier.handleGreeting(wire);
    if (!this.token) return { line: say.open(this.beatMs(wire.name)), received: 0, isOpening: true };
    const received = this.ledger.tell();
    return { line: say.resume(this.token, received, beat), received, isOpening: false };
  }

  handleControl(wire, control) {
    if (control.received !== undefined) this.#handleReceipt(control.received);
    const deed = DEEDS[control.word];
    if (deed) deed(this, wire, control);
    if (this.#closing && !this.#isOwing) return this.#finish(this.#closing);
    this.#arm();
  }

  handleFrame(wire, number, frame) {
    const at = now();
    this.watch.framed(at);
    const taken = this.ledger.take(number, at);
    if (taken === "take") this.#on.message(frame);
    // Our own numbers cannot leave a gap unless the wire lost something that it had promised to bring.
    if (taken === "breach") wire.end("breach");
    this.#arm();
  }

  /** A request without frames was answered. */
  handlePassed() {
    this.frameLimit.proven();
  }

  /** The server has read frames that it does not take yet: they do get through. */
  handleRead() {
    this.frameLimit.read();
  }

  /** So many frames that a wire sent are not known to have arrived, and never will by it. */
  handleUnsent(wire, count, how) {
    // While nothing carries the session, that the network is away is the better explanation; but not for a refusal.
    if (count < 1 || (wire !== this.#carrier.current && !isLasting(how))) return;
    if (!this.frameLimit.failed(this.ledger.acknowledged + 1, count, how)) return;
    const reason = `a message of ${this.ledger.firstBytes} bytes does not get through: ${how}`;
    this.#finish({ code: ENDS.unsendable, reason, isError: true });
  }

  handleEnd(wire, how, inFlight) {
    // Requests that are swallowed beside a stream will be beside a poll.
    if (how === "post") this.becomeSingle();
    if (wire === this.#carrier.current && how !== "superseded") {
      const at = now();
      this.#idleDeath = { name: wire.name, idleMs: this.watch.idleMs(at), at };
      // Mute may be a server that has to wait before it reads on.
      if (!/^(cut|overtaken|mute)$/.test(how)) this.handleUnsent(wire, inFlight, how);
    }
    if (!this.isOver) this.#carrier.handleEnd(wire, how);
  }

  /** Nothing could be reached. */
  handleLost() {
    if (this.isOver) return;
    if (!this.token) return this.end({ code: ENDS.unreachable, reason: "no transport got through", isError: true });
    // A wall clock that jumps, or sleep, proves nothing: the server says so itself if it is over.
    if (steady() - this.#heardAt < this.windowMs) return this.#carrier.raceSoon(false);
    this.end({ code: ENDS.expired, reason: "expired" });
  }

  /** A wire is proven. */
  handleProof(wire) {
    if (wire === this.#carrier.current) return;
    this.#carrier.win(wire);
    const at = now();
    const death = this.#idleDeath;
    if (death && at - death.at < REPLACED_MS) this.#path.beats[death.name].killed(death.idleMs, Date.now());
    this.#idleDeath = null;
    if (this.rtt === undefined) this.watch.measured(at - wire.helloAt);
    this.watch.start(at, wire.name === "longpoll" ? this.holdMs : this.beatMs(wire.name));
    wire.flush();
    if (this.#closing) wire.ping();
    this.changed();
  }

  handleOpened({ token, window, hold, frame = Infinity, body = Infinity }) {
    Object.assign(this, { token, windowMs: window, holdMs: hold, frameBytesMax: frame, bodyBytesMax: body });
    this.openedAt = Date.now();
  }

  heard(wire) {
    this.#heardAt = steady();
    if (wire === this.#carrier.current) this.watch.heard(now());
  }

  said(wire) {
    if (wire === this.#carrier.current) this.watch.said(now());
  }

  announce() {
    this.#on.opened();
  }

  changed() {
    this.#on.changed();
  }

  /** The session is over on the server, or cannot be reached. */
  end(how) {
    if (this.isOver) return;
    this.isOver = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#lingering);
    this.#carrier.stop();
    this.#on.over(how);
  }

  get #isOwing() {
    return this.ledger.sent > this.ledger.acknowledged;
  }

  #handleReceipt(received) {
    this.ledger.acknowledge(received);
    this.frameLimit.acknowledged(received);
    if (this.frameLimit.max < Infinity) this.#carrier.current?.flush();
  }

  // A frame must fit on every wire that may have to carry it.
  #isTooLarge(frame) {
    const bytes = bytesOf(frame);
    if (bytes > this.frameBytesMax) return true;
    const room = this.bodyBytesMax - HEAD_BYTES;
    return bytes * LINE_BYTES_MAX > room && bytesOf(encodeLine(frame)) > room;
  }

  #fail(code, reason) {
    this.leave({ code, reason, isError: true });
  }

  // With a ledger, what it keeps goes before the end.
  #finish(how, ledger) {
    if (this.isOver) return;
    const { current } = this.#carrier;
    if (current?.isOpen) current.finish(ledger);
    else if (this.token) sayGoodbye(this.options.fetch, this.address.longpoll, this.token, ledger);
    this.end(how);
  }

  #tick() {
    const at = now();
    const due = this.#due;
    const { current } = this.#carrier;
    this.#due = Infinity;
    if (!current) return;
    if (this.ledger.tellAt() <= at) current.ack();
    const verdict = this.watch.look(at, due, this.ledger.unacknowledgedSince);
    if (verdict === "ask") this.#ask(current, at);
    if (verdict === "dead") this.#mourn(current, at);
    this.#arm();
  }

  #ask(wire, at) {
    this.watch.asked(at);
    wire.ping();
  }

  #mourn(wire, at) {
    if (wire.revive()) this.watch.extend(at);
    else wire.end(wire.isStuck(at) ? "post" : "mute");
  }

  // One timer for all, set when something is due earlier than it was.
  #arm() {
    if (!this.#carrier.current || this.isOver) return;
    const at = Math.min(this.ledger.tellAt(), this.watch.lookAt(this.ledger.unacknowledgedSince));
    if (at >= this.#due) return;
    clearTimeout(this.#timer);
    const from = now();
    this.#due = Math.max(at, from);
    this.#timer = setTimeout(() => this.#tick(), this.#due - from);
  }
}

/** What each word of the server does. */
const DEEDS = {
  opened(session, wire, control) {
    session.handleOpened(control);
    session.handleProof(wire);
    session.announce();
  },
  resumed(session, wire) {
    session.handlePassed();
    if (wire !== session.carrier.current) session.resumes += 1;
    session.handleProof(wire);
  },
  ping(session, wire) {
    wire.ack();
  },
  pong(session) {
    session.watch.answered(now());
  },
  busy(session, wire) {
    session.watch.busy(now());
    wire.wait();
  },
  superseded(session, wire) {
    wire.end("superseded");
  },
  refused(session, wire, { reason }) {
    const { current } = session.carrier;
    // While another wire carries the session it is known to exist: this one came to the wrong server.
    if (current && wire !== current) return wire.end(`refused ${reason}`);
    // By another wire the server was told of more than this one asked for: what it has dropped since, we have.
    if (reason === "gap" && wire.number < session.ledger.received) return wire.end("overtaken");
    const code = ENDS[reason] ?? ENDS.refused;
    session.end({ code, reason, isError: reason === "forbidden" || reason === "full" });
  },
  closed(session, wire, { code, reason }) {
    session.end({ code, reason });
  },
};
