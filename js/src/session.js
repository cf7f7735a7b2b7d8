// One session: its counts, its token, its end. What carries it is the carrier's business.

import { Carrier } from "./carrier.js";
import { Ledger } from "./ledger.js";
import { say } from "./lines.js";
import { sendLast } from "./request.js";
import { Watch } from "./watch.js";

/** Codes of a session's end that no server sent. A client connects anew after each of them. */
export const ENDS = {
  refused: 4404,
  forbidden: 4403,
  full: 4503,
  expired: 4408,
  overflow: 4413,
  unreachable: 1006,
};

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
  token = null;
  windowMs = Infinity;
  holdMs = 0;
  resumes = 0;
  openedAt = null;
  isOnline = true;
  isOver = false;
  #on;
  #path;
  #carrier;
  #heardAt = Date.now();
  #idleDeath = null;
  #due = Infinity;
  #timer;

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
    if (this.isOver) return;
    if (!this.ledger.append(frame, Date.now())) {
      this.#finish({ code: ENDS.overflow, reason: "too much is not acknowledged", isError: true });
      return;
    }
    this.#carrier.current?.flush();
    this.#arm();
  }

  /** Ends the session here and on the server. */
  close(code, reason) {
    this.#finish({ code, reason });
  }

  /** Something may have broken the wire unseen, a sleep or another network: makes sure. */
  verify() {
    this.#carrier.hurry();
    this.watch.suspect(Date.now());
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
    return this.#path.beats[name].ms(Date.now(), this.windowMs);
  }

  // What follows is called by wires and by the carrier.

  /** The line by which a wire asks for the session. */
  hello(wire, beat = this.beatMs(wire.name)) {
    wire.helloAt = Date.now();
    this.#carrier.handleGreeting(wire);
    if (!this.token) return { line: say.open(this.beatMs(wire.name)), received: 0, isOpening: true };
    const received = this.ledger.tell();
    return { line: say.resume(this.token, received, beat), received, isOpening: false };
  }

  handleControl(wire, control) {
    if ("received" in control) this.ledger.acknowledge(control.received);
    const deed = DEEDS[control.word];
    if (deed) deed(this, wire, control);
    this.#arm();
  }

  handleFrame(wire, number, frame) {
    const now = Date.now();
    this.watch.framed(now);
    const taken = this.ledger.take(number, now);
    if (taken === "take") this.#on.message(frame);
    // Our own numbers cannot leave a gap unless the wire lost something that it had promised to bring.
    if (taken === "breach") wire.end("breach");
    this.#arm();
  }

  handleEnd(wire, how) {
    // Requests that are swallowed beside a stream will be beside a poll.
    if (how === "post") this.becomeSingle();
    if (wire === this.#carrier.current && how !== "superseded") {
      const now = Date.now();
      this.#idleDeath = { name: wire.name, idleMs: this.watch.idleMs(now), at: now };
    }
    this.#carrier.handleEnd(wire, how);
  }

  /** Nothing could be reached. */
  handleLost() {
    if (this.isOver) return;
    if (!this.token) return this.end({ code: ENDS.unreachable, reason: "no transport got through", isError: true });
    if (Date.now() - this.#heardAt < this.windowMs) return this.#carrier.raceSoon(false);
    this.end({ code: ENDS.expired, reason: "expired" });
  }

  /** A wire is proven. */
  handleProof(wire) {
    if (wire === this.#carrier.current) return;
    this.#carrier.win(wire);
    const now = Date.now();
    const death = this.#idleDeath;
    if (death && now - death.at < REPLACED_MS) this.#path.beats[death.name].killed(death.idleMs, now);
    this.#idleDeath = null;
    if (this.rtt === undefined) this.watch.measured(now - wire.helloAt);
    this.watch.start(now, wire.name === "longpoll" ? this.holdMs : this.beatMs(wire.name));
    wire.flush();
    this.changed();
  }

  handleOpened({ token, window, hold }) {
    Object.assign(this, { token, windowMs: window, holdMs: hold, openedAt: Date.now() });
  }

  heard(wire) {
    this.#heardAt = Date.now();
    if (wire === this.#carrier.current) this.watch.heard(this.#heardAt);
  }

  said(wire) {
    if (wire === this.#carrier.current) this.watch.said(Date.now());
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
    this.#carrier.stop();
    this.#on.over(how);
  }

  #finish(how) {
    if (this.isOver) return;
    const { current } = this.#carrier;
    if (current) current.finish();
    else if (this.token) sendLast(this.options.fetch, this.address.longpoll, [say.send(this.token), say.close]);
    this.end(how);
  }

  #tick() {
    const now = Date.now();
    const due = this.#due;
    const { current } = this.#carrier;
    this.#due = Infinity;
    if (!current) return;
    if (this.ledger.tellAt() <= now) current.ack();
    const verdict = this.watch.look(now, due, this.ledger.unacknowledgedSince);
    if (verdict === "ask") this.#ask(current, now);
    if (verdict === "dead") this.#mourn(current, now);
    this.#arm();
  }

  #ask(wire, now) {
    this.watch.asked(now);
    wire.ping();
  }

  #mourn(wire, now) {
    if (wire.revive()) this.watch.extend(now);
    else wire.end(wire.isStuck(now) ? "post" : "mute");
  }

  // One timer for all, set when something is due earlier than it was.
  #arm() {
    if (!this.#carrier.current || this.isOver) return;
    const at = Math.min(this.ledger.tellAt(), this.watch.lookAt(this.ledger.unacknowledgedSince));
    if (at >= this.#due) return;
    clearTimeout(this.#timer);
    const now = Date.now();
    this.#due = Math.max(at, now);
    this.#timer = setTimeout(() => this.#tick(), this.#due - now);
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
    if (wire !== session.carrier.current) session.resumes += 1;
    session.handleProof(wire);
  },
  ping(session, wire) {
    wire.ack();
  },
  pong(session) {
    session.watch.answered(Date.now());
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
