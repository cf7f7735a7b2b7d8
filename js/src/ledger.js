// What each direction of a session has sent, taken and acknowledged. Pure: time is an argument.

import { bytesOf } from "./bytes.js";
import { Breach } from "./lines.js";

/** An acknowledgement is due after this many frames … */
const ACK_FRAMES = 32;
/** … and this many bytes of them, as the server sends no more than it may keep … */
const ACK_BYTES = 256 * 1024;
/** … and this long after the first frame that is not acknowledged. */
const ACK_MS = 2_000;

/** So many times as much as may be kept may wait while the server takes some of it: the memory of a page has an end, too. */
const WAITING_TIMES_MAX = 16;

/**
 * The counts of one session and the frames that the server may still lack.
 *
 * Invariant: `acknowledged <= sent`, and exactly the frames between the two are kept.
 */
export class Ledger {
  /** How many of our frames the server has. */
  acknowledged = 0;
  /** How many of the server's frames we have. */
  received = 0;
  /** The bytes of the frames that are kept. */
  bytes = 0;
  #kept = [];
  #told = 0;
  #untoldSince = 0;
  #untoldBytes = 0;
  #framesMax;
  #bytesMax;
  #stallMs;
  /** When the server last took something, or there was nothing for it to take. */
  #movedAt = 0;
  /** How many frames were given to an attachment, and may have left. */
  #given = 0;

  constructor({ keptFramesMax, keptBytesMax, stallMs = 0 }) {
    this.#framesMax = keptFramesMax;
    this.#bytesMax = keptBytesMax;
    this.#stallMs = stallMs;
  }

  /**
   * Counts and keeps a frame to be sent. `false` if it does not fit: then nothing has changed. What is more than may be kept fits as
   * long as the server takes some of it now and then.
   */
  append(frame, now) {
    const size = bytesOf(frame);
    if (!this.#kept.length) this.#movedAt = now;
    // One frame may be beyond the bytes, so that a large one can be sent at all.
    const isFull = (times) => this.#kept.length >= times * this.#framesMax || this.bytes >= times * this.#bytesMax;
    const isStalled = now - this.#movedAt >= this.#stallMs;
    if (isFull(isStalled ? 1 : WAITING_TIMES_MAX)) return false;
    this.#kept.push({ frame, size, at: now });
    this.bytes += size;
    return true;
  }

  /** Something that was sent is on its way, as far as one can see. */
  moved(now) {
    this.#movedAt = now;
  }

  /** The server has the first `number` of our frames. */
  acknowledge(number, now) {
    if (number > this.sent) throw new Breach("what was never sent is acknowledged");
    // A lower number is old news, from a request that was overtaken.
    const gone = this.#kept.splice(0, Math.max(0, number - this.acknowledged));
    for (const { size } of gone) this.bytes -= size;
    this.acknowledged += gone.length;
    if (gone.length && now !== undefined) this.moved(now);
  }

  /** Frames after the first `number`, up to the bounds; at least one if there is one and any are wanted, however large. */
  after(number, framesMax = Infinity, bytesMax = Infinity) {
    const frames = [];
    let bytes = 0;
    for (let at = number - this.acknowledged; at < this.#kept.length && frames.length < framesMax; at += 1) {
      const { frame, size } = this.#kept[at];
      bytes += size;
      if (frames.length && bytes > bytesMax) break;
      frames.push(frame);
    }
    this.#given = Math.max(this.#given, number + frames.length);
    return frames;
  }

  /** The frames that were never given out by `after`, so that nobody can have them. */
  get unsent() {
    return this.#kept.slice(Math.max(0, this.#given - this.acknowledged)).map(({ frame }) => frame);
  }

  /** What is to be done with a frame of this number and of so many bytes: `"take"`, `"drop"`, or it is a `"breach"`. */
  take(number, now, bytes = 0) {
    if (number <= this.received) return "drop";
    if (number > this.received + 1) return "breach";
    if (this.received === this.#told) this.#untoldSince = now;
    this.received = number;
    this.#untoldBytes += bytes;
    return "take";
  }

  /** The server is being told of `received`. */
  tell() {
    this.#told = this.received;
    this.#untoldBytes = 0;
    return this.received;
  }

  /** When the server must be told of what we have; never is `Infinity`. */
  tellAt() {
    const untold = this.received - this.#told;
    if (untold === 0) return Infinity;
    const isMuch = untold >= ACK_FRAMES || this.#untoldBytes >= ACK_BYTES;
    return isMuch ? -Infinity : this.#untoldSince + ACK_MS;
  }

  /** The bytes of the frames after the first `number`. */
  bytesAfter(number) {
    return this.#kept.slice(Math.max(0, number - this.acknowledged)).reduce((bytes, { size }) => bytes + size, 0);
  }

  /** How many frames were sent or wait to be. */
  get sent() {
    return this.acknowledged + this.#kept.length;
  }

  /** The bytes of the oldest frame that is kept; 0 if none is. */
  get firstBytes() {
    return this.#kept[0]?.size ?? 0;
  }

  /** Since when the oldest frame waits for its acknowledgement; `Infinity` if none does. */
  get unacknowledgedSince() {
    return this.#kept[0]?.at ?? Infinity;
  }
}
