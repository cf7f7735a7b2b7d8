// The session over an event stream, and POSTs for the way up.

import { isLasting } from "../framelimit.js";
import { say } from "../lines.js";
import { Request, readPieces } from "../request.js";
import { linesOfFrames } from "../upstream.js";
import { EventReader } from "./events.js";
import { HttpAttachment } from "./http.js";

/** Until a stream that has not begun is given up. Where there is room for one request alone, the next transport waits for that. */
const BEGIN_MS = 1_700;
const BEGIN_TRIPS = 5;

/** One event stream: the body of a response where those can be read as they come, an `EventSource` elsewhere. */
export class SseAttachment extends HttpAttachment {
  #source;

  constructor(session) {
    // An answer that a repeat cannot change says nothing of how many requests the network lets through.
    super(session, "sse", (how) => this.end(isLasting(how) ? how : "post"));
    const reading = session.options.streams ? this.#stream() : this.#listen();
    reading.then(
      () => this.end("closed"),
      ({ how = "error" }) => this.end(how),
    );
  }

  release() {
    super.release();
    this.#source?.close();
  }

  async #stream() {
    const { session } = this;
    const hello = this.hello();
    // What the server may lack goes with a resume, which saves a round trip.
    const frames = this.isOpening ? [] : linesOfFrames(session);
    try {
      await this.#read([hello, ...frames]);
    } catch (error) {
      if (this.isOver || !frames.length || !isLasting(error.how)) throw error;
      session.handleUnsent(this, frames.length - 1, error.how);
      await this.#read([this.hello()]);
    }
  }

  #read(lines) {
    const reader = new EventReader();
    const take = (piece) => {
      this.session.heard(this);
      for (const line of reader.read(piece)) this.receive(line);
    };
    return this.#post(lines, (response, expect) => readPieces(response, () => expect(Infinity), take));
  }

  async #listen() {
    // A ticket is for one line.
    const answer = await this.#post([say.ticket, this.hello()]);
    const ticket = answer.trim().split(" ")[1];
    if (this.isOver) return;
    this.#source = new this.session.options.EventSource(`${this.url}&ticket=${ticket}`);
    await new Promise((resolve) => {
      this.#source.onmessage = ({ data }) => {
        this.session.heard(this);
        this.receive(data);
      };
      // It would come back by itself, with a ticket that is used up.
      this.#source.onerror = resolve;
    });
  }

  #post(lines, read) {
    const { fetch, attemptMs } = this.session.options;
    const deadlineMs = Math.min(attemptMs, Math.max(BEGIN_MS, BEGIN_TRIPS * (this.session.rtt ?? 0)));
    this.request = new Request(fetch, this.url, lines, { deadlineMs, headers: this.session.address.headers, read });
    return this.request.answer;
  }
}
