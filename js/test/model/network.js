// Sessions that a schedule moves: what they carry, and when they are lost.

import { Sessions } from "../../src/sessions.js";

/** As much of a session as its owner knows, between a page and a model of a server. */
export class SimulatedSession {
  token = null;
  openedAt = null;
  isOver = false;
  isOnline = true;
  isStarted = false;
  #on;
  #server;
  #unsent = [];
  #up = [];
  #down = [];

  constructor(server, on) {
    this.#server = server;
    this.#on = on;
  }

  get ledger() {
    const unsent = [...this.#unsent];
    return { unsent, sent: unsent.length + this.#up.length };
  }

  start() {
    this.isStarted = true;
  }

  send(frame) {
    if (!this.isOver) this.#unsent.push(frame);
  }

  hears(frame) {
    this.#down.push(frame);
  }

  close(code, reason) {
    this.leave({ code, reason });
  }

  leave(how) {
    this.#end(how);
  }

  fail(code, reason) {
    this.#end({ code, reason, isError: true });
  }

  // What follows is called by the schedule.

  open() {
    this.#server.open(this);
    this.token = "token";
    this.openedAt = Date.now();
    this.#on.opened();
  }

  /** Nobody was there, or the server refused. */
  miss(how) {
    this.#end(how);
  }

  /** A frame leaves. */
  give() {
    if (this.#isCarried && this.#unsent.length) this.#up.push(this.#unsent.shift());
  }

  /** A frame that has left arrives. */
  arrive() {
    if (this.#isCarried && this.#up.length) this.#server.handle(this, this.#up.shift());
  }

  /** Something from the server arrives. */
  bring() {
    if (this.#isCarried && this.#down.length) this.#on.message(this.#down.shift());
  }

  get #isCarried() {
    return this.token !== null && !this.isOver;
  }

  get isIdle() {
    return this.#unsent.length + this.#up.length + this.#down.length === 0;
  }

  /** Of what is on its way so much still gets through, up and down, and nothing more ever does. */
  lose(up, down) {
    for (let n = 0; n < up && this.#up.length; n += 1) this.arrive();
    for (let n = 0; n < down && this.#down.length && !this.isOver; n += 1) this.bring();
    if (!this.isOver) this.#end({ code: 4404, reason: "unknown", isLost: true });
  }

  #end(how) {
    if (this.isOver) return;
    this.isOver = true;
    this.#server.close(this);
    this.#on.over(how);
  }
}

// Whoever makes something has had no time to listen.
const soon = (deed) => setTimeout(deed, 0);

/** The transport that phoenix.js is given: our sessions, over that network. `world` knows all that were made. */
export function transportOf(world) {
  return class {
    static name = "Simulated";
    readyState = 0;
    skipHeartbeat = true;
    bufferedAmount = 0;
    #sessions;

    constructor() {
      const make = (on) => (world.session = new SimulatedSession(world.server, on));
      const on = {
        loggedIn: () => {},
        opened: () => {
          this.readyState = 1;
          this.onopen?.();
        },
        message: (data) => this.readyState === 1 && this.onmessage?.({ data }),
        told: (told) => world.told(told),
        changed: () => {},
        over: (how) => {
          this.readyState = 2;
          soon(() => {
            this.readyState = 3;
            world.over();
            if (how.isError) this.onerror?.({});
            this.onclose?.({ code: how.code });
          });
        },
      };
      this.#sessions = new Sessions({ make, begin: (session) => world.begin(session), on, ...world.options });
      world.sessions = this.#sessions;
      soon(() => this.#sessions.start());
    }

    send(frame) {
      world.sent(frame);
      this.#sessions.send(frame);
    }

    close(code, reason) {
      this.readyState = 2;
      this.#sessions.close(code, reason);
    }
  };
}
