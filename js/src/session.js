// One session: its counts, its token, its end. Its race decides which attachment carries it.
//
//     page ── Lapwing ──▶ Session ──▶ Race: decides
//                           ▲  │        │ opens, drops
//                events     │  ▼        ▼
//                         Attachment: a WebSocket, an event stream or polls
//
// An attachment tells the session alone what it hears; the session tells the race what that means for it.

import { bytesOf } from "./bytes.js";
import { now, steady } from "./clock.js";
import { FrameLimit, isLasting } from "./framelimit.js";
import { sayGoodbye, sayRest } from "./goodbye.js";
import { Ledger } from "./ledger.js";
import { encodeLine, say } from "./lines.js";
import { Race } from "./race.js";
import { attach } from "./transports/index.js";
import { Watch } from "./watch.js";

/** Codes of a session's end that no `!closed` has; `docs/close-codes.md` lists all. */
export const ENDS = {
  refused: 4404,
  forbidden: 4403,
  token: 4400,
  full: 4503,
  expired: 4408,
  overflow: 4413,
  unsendable: 4422,
  unreachable: 1006,
};

/** What goes with frames in the body of a POST: four control lines at their longest. */
const HEAD_BYTES = 4 * 257;
/** A character of a text has no more bytes than this in a line. */
const LINE_BYTES_MAX = 6;
/** How a session ends that its page has closed and that does not get through with what was sent before. */
export const UNDELIVERED = { code: ENDS.unreachable, reason: "not everything was delivered" };
/** Characters of what is said of a failure. */
const HOW_CHARS_MAX = 32;
/** An attachment that could be replaced this fast was not lost with the whole network. */
const REPLACED_MS = 3_000;
/** Refusals of a session that nobody wanted to end. */
const LOST = new Set(["unknown", "expired", "gap", "ahead"]);
/** The code of a server that goes down, and of a session of which nothing was heard for too long. */
const DRAINING = 1012;
const UNHEARD = 1006;

/**
 * A session from the first attempt to open it to its end.
 *
 * `on` hears of it: `loggedIn(ms)`, `opened`, `message(frame)`, `over({ code, reason, isError, isUnwanted, isLost, isAway })` and
 * `changed`. A session `isLost` that nobody wanted to end: another one may take its place. Who was only away, or full, `isAway`.
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
  /** What the server is to know of the path, for those who look after it, and was not told yet; `null` for nothing. */
  untold = null;
  isOnline = true;
  isOver = false;
  #on;
  #path;
  #race;
  #isStarted = false;
  #heardAt = steady();
  /** How it is going to end, once the server has what it may lack. */
  #closing = null;
  #idleDeath = null;
  /** Which transports failed, as the server is to know it. */
  #failures = "";
  #due = Infinity;
  #timer;
  #lingering;

  /** `path` is what the page knows of the way there: `{ chooser, beats }`; `wishes`, if given, what the page wants of all its races. */
  constructor({ address, options, transports, path, wishes, on }) {
    Object.assign(this, { address, options });
    this.#on = on;
    this.#path = path;
    this.ledger = new Ledger(options);
    this.watch = new Watch(options);
    this.#race = new Race({
      options,
      transports,
      chooser: path.chooser,
      wishes,
      open: (name, how) => attach(name, this, how),
      network: () => ({ rtt: this.rtt, isOnline: this.isOnline }),
      on: { lost: () => this.#handleLost(), changed: () => this.#handleChange() },
    });
    if (options.singleRequest) path.chooser.singleRequest = true;
  }

  /** Opens the session. A crowd that lost its server comes back spread. */
  start() {
    this.#isStarted = true;
    if (this.#path.chooser.roundsAway) this.#race.startSoon(false);
    else this.#race.start();
  }

  /** Sends a frame: now, or when there is an attachment. */
  send(frame) {
    if (this.isOver || this.#closing) return;
    if (this.#isTooLarge(frame)) {
      return this.fail(ENDS.unsendable, `a message of ${bytesOf(frame)} bytes is more than the server takes`);
    }
    const at = now();
    if (this.#race.current?.hasMoved()) this.ledger.moved(at);
    if (!this.ledger.append(frame, at)) return this.fail(ENDS.overflow, "too much is not acknowledged");
    this.#race.current?.flush();
    this.#arm();
  }

  /** Ends the session here and on the server, once that has all that was sent, or after `lingerMs`. */
  close(code, reason) {
    if (this.isOver || this.#closing) return;
    const how = { code, reason };
    if (!this.#isOwing) return this.leave(how);
    this.#closing = how;
    this.#lingering = setTimeout(() => this.leave(UNDELIVERED), this.options.lingerMs);
    this.#hurry();
    this.#race.current?.ping();
  }

  /** Ends the session at once: what the server may lack goes along as far as there is room. */
  leave(how) {
    this.#finish(how, this.ledger);
  }

  /** Something may have broken the attachment unseen, a sleep or another network: makes sure. */
  verify() {
    this.#hurry();
    this.watch.suspect(now());
    this.#arm();
  }

  setOnline(isOnline) {
    this.isOnline = isOnline;
    if (!isOnline || !this.#isStarted) return;
    this.#race.startOver();
    this.verify();
  }

  /** Lets go of the attachments, so that the page can be put aside, and says what waits. The session goes on when it comes back in time. */
  suspend() {
    // One that is about to end, as phoenix.js has it when its page goes, has no later to wait for.
    if (this.#closing) return this.leave(this.#closing);
    this.#race.stop();
    clearTimeout(this.#timer);
    // It may as well never come back.
    if (this.#isOwing && this.token) sayRest(this.options.fetch, this.address.longpoll, this.token, this.ledger);
  }

  resume() {
    if (!this.isOver) this.#hurry();
  }

  get race() {
    return this.#race;
  }

  get rtt() {
    return this.watch.rtt;
  }

  get singleRequest() {
    return this.#path.chooser.singleRequest;
  }

  useSingleRequest() {
    this.#path.chooser.singleRequest = true;
    this.#on.changed();
  }

  beatMs(name) {
    // What is kept for the next page is in the time of the wall.
    return this.#path.beats[name].ms(Date.now(), this.windowMs);
  }

  // What follows is called by attachments.

  /** The server has this line about the path. */
  told(line) {
    if (this.untold === line) this.untold = null;
  }

  /** The line by which an attachment asks for the session. */
  hello(attachment, beat = this.beatMs(attachment.name)) {
    attachment.helloAt = now();
    this.#race.greeted(attachment);
    if (!this.token) return { line: say.open(this.beatMs(attachment.name)), received: 0, isOpening: true };
    const received = this.ledger.tell();
    return { line: say.resume(this.token, received, beat), received, isOpening: false };
  }

  handleControl(attachment, control) {
    if (control.received !== undefined) this.#handleReceipt(control.received);
    this.#obey(attachment, control);
    if (this.#closing && !this.#isOwing) return this.#finish(this.#closing);
    this.#arm();
  }

  handleFrame(attachment, number, frame) {
    const at = now();
    this.watch.framed(at);
    const taken = this.ledger.take(number, at, bytesOf(frame));
    if (taken === "take") this.#on.message(frame);
    // Our own numbers cannot leave a gap unless the attachment lost something that it had promised to bring.
    if (taken === "breach") attachment.end("breach");
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

  /** So many frames that an attachment sent are not known to have arrived, and never will by it. */
  handleUnsent(attachment, count, how) {
    // While nothing carries the session, that the network is away is the better explanation; but not for a refusal.
    if (count < 1 || (attachment !== this.#race.current && !isLasting(how))) return;
    if (!this.frameLimit.failed(this.ledger.acknowledged + 1, count, how)) return;
    const reason = `a message of ${this.ledger.firstBytes} bytes does not get through: ${how}`;
    this.#finish({ code: ENDS.unsendable, reason, isError: true });
  }

  handleEnd(attachment, how, inFlight) {
    // Requests that are swallowed beside a stream will be beside a poll.
    if (how === "post") this.useSingleRequest();
    if (attachment === this.#race.current && how !== "superseded") {
      const at = now();
      this.#idleDeath = { name: attachment.name, idleMs: this.watch.idleMs(at), at };
      // Mute may be a server that has to wait before it reads on.
      if (!/^(cut|overtaken|mute)$/.test(how)) this.handleUnsent(attachment, inFlight, how);
    }
    if (!this.isOver) this.#race.ended(attachment, how);
  }

  heard(attachment) {
    this.#heardAt = steady();
    if (attachment === this.#race.current) this.watch.heard(now());
  }

  said(attachment) {
    if (attachment === this.#race.current) this.watch.said(now());
  }

  // What each word of the server does.
  #obey(attachment, control) {
    switch (control.word) {
      case "opened":
        this.#handleOpened(control);
        this.#handleProof(attachment);
        return this.#on.opened();
      case "resumed":
        this.handlePassed();
        if (attachment !== this.#race.current) this.resumes += 1;
        return this.#handleProof(attachment);
      case "token":
        // The session has gone to another node: this one leads there at once.
        this.token = control.token;
        return;
      case "ping":
        return attachment.ack();
      case "pong":
        return this.watch.answered(now());
      case "busy":
        this.watch.busy(now());
        return attachment.wait();
      case "superseded":
        return attachment.end("superseded");
      case "refused":
        return this.#handleRefusal(attachment, control);
      case "closed":
        return this.#end(endOf(control));
    }
  }

  #handleRefusal(attachment, { reason, code = ENDS[reason] ?? ENDS.refused, text = reason }) {
    const { current } = this.#race;
    // While another attachment carries the session it is known to exist: this one came to the wrong server.
    if (current && attachment !== current) return attachment.end(`refused ${reason}`);
    // By another attachment the server was told of more than this one asked for: what it has dropped since, we have.
    if (reason === "gap" && attachment.number < this.ledger.received) return attachment.end("overtaken");
    // The server has the session, and no room for a connection, or nobody who decides: it is asked again.
    if (reason === "full" && this.token) return attachment.end("refused full");
    // It has heard its last word: a poll would ask again.
    attachment.drop();
    // Who may not carry a session on may still begin one.
    const isUnwanted = reason === "forbidden" ? attachment.isOpening : code === ENDS.forbidden;
    const isAway = reason === "full";
    const isLost = LOST.has(reason) || (reason === "closed" && code === DRAINING);
    this.#end({ code, reason: text, isError: reason === "forbidden" || isAway, isUnwanted, isLost, isAway });
  }

  #handleOpened({ token, window, hold, frame = Infinity, body = Infinity, login }) {
    Object.assign(this, { token, windowMs: window, holdMs: hold, frameBytesMax: frame, bodyBytesMax: body });
    this.openedAt = Date.now();
    this.#on.loggedIn(login);
  }

  #handleProof(attachment) {
    if (attachment === this.#race.current) return;
    this.#race.proven(attachment);
    const at = now();
    const death = this.#idleDeath;
    if (death && at - death.at < REPLACED_MS) this.#path.beats[death.name].killed(death.idleMs, Date.now());
    this.#idleDeath = null;
    if (this.rtt === undefined) this.watch.measured(at - attachment.helloAt);
    this.watch.start(at, attachment.name === "longpoll" ? this.holdMs : this.beatMs(attachment.name));
    attachment.flush();
    if (this.#closing) attachment.ping();
    this.#handleChange();
  }

  #handleChange() {
    this.#tellPath();
    this.#on.changed();
  }

  // Whoever looks after the server sees why it came by this transport, and what the tries of better ones come to. On a path where
  // all is well there is nothing to say.
  #tellPath() {
    const failures = pathOf(this.#race.failures);
    if (failures !== this.#failures) {
      this.#failures = failures;
      this.untold = say.path(Math.round(this.rtt ?? 0), failures);
    }
    if (this.untold) this.#race.current?.tell();
  }

  // Nothing could be reached.
  #handleLost() {
    if (this.isOver) return;
    if (!this.token) {
      return this.#end({ code: ENDS.unreachable, reason: "no transport got through", isError: true, isAway: true });
    }
    // A wall clock that jumps, or sleep, proves nothing: the server says so itself if it is over.
    if (steady() - this.#heardAt < this.windowMs) return this.#race.startSoon(false);
    this.#end({ code: ENDS.expired, reason: "expired", isLost: true });
  }

  // The session is over on the server, or cannot be reached.
  #end(how) {
    if (this.isOver) return;
    this.isOver = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#lingering);
    this.#race.stop();
    this.#on.over(how);
  }

  // Nobody is to be asked before the session has been started.
  #hurry() {
    if (this.#isStarted) this.#race.hurry();
  }

  get #isOwing() {
    return this.ledger.sent > this.ledger.acknowledged;
  }

  #handleReceipt(received) {
    this.ledger.acknowledge(received, now());
    this.frameLimit.acknowledged(received);
    if (this.frameLimit.max < Infinity) this.#race.current?.flush();
  }

  // A frame must fit on every attachment that may have to carry it.
  #isTooLarge(frame) {
    const bytes = bytesOf(frame);
    if (bytes > this.frameBytesMax) return true;
    const room = this.bodyBytesMax - HEAD_BYTES;
    return bytes * LINE_BYTES_MAX > room && bytesOf(encodeLine(frame)) > room;
  }

  /** Ends the session for a reason of its own. */
  fail(code, reason, { isAway = false } = {}) {
    this.leave({ code, reason, isError: true, isAway });
  }

  // With a ledger, what it keeps goes before the end.
  #finish(how, ledger) {
    if (this.isOver) return;
    const { current } = this.#race;
    if (current?.isOpen) current.finish(ledger);
    else if (this.token) sayGoodbye(this.options.fetch, this.address.longpoll, this.token, ledger);
    this.#end(how);
  }

  #tick() {
    const at = now();
    const due = this.#due;
    const { current } = this.#race;
    this.#due = Infinity;
    if (!current) return;
    if (this.ledger.tellAt() <= at) current.ack();
    const verdict = this.watch.look(at, due, this.ledger.unacknowledgedSince);
    if (verdict === "ask") this.#ask(current, at);
    if (verdict === "dead") this.#reviveOrEnd(current, at);
    this.#arm();
  }

  #ask(attachment, at) {
    this.watch.asked(at);
    attachment.ping();
  }

  #reviveOrEnd(attachment, at) {
    if (attachment.revive()) this.watch.extend(at);
    else attachment.end(attachment.isStuck(at) ? "post" : "mute");
  }

  // One timer for all, set when something is due earlier than it was.
  #arm() {
    if (!this.#race.current || this.isOver) return;
    const at = Math.min(this.ledger.tellAt(), this.watch.lookAt(this.ledger.unacknowledgedSince));
    if (at >= this.#due) return;
    clearTimeout(this.#timer);
    const from = now();
    this.#due = Math.max(at, from);
    this.#timer = setTimeout(() => this.#tick(), this.#due - from);
  }
}

// How a session ends of which the server says that it is over.
function endOf({ code, reason }) {
  const isLost = code === DRAINING || code === UNHEARD;
  return { code, reason, isUnwanted: code === ENDS.forbidden, isLost };
}

// The last failure of each transport, as words. One that was only slower is named if nothing worse is known of it.
function pathOf(failures) {
  const last = new Map();
  for (const { transport, how, ms } of failures) {
    const isSlower = how === "slower";
    if (isSlower && last.has(transport) && !last.get(transport).startsWith("slower:")) continue;
    last.delete(transport);
    const word = String(how).toLowerCase().replace(/[^a-z0-9]+/g, "_");
    last.set(transport, isSlower ? `slower:${Math.round(ms)}` : word.slice(0, HOW_CHARS_MAX) || "unknown");
  }
  return [...last].map(([transport, how]) => `${transport}:${how}`).join(" ");
}
