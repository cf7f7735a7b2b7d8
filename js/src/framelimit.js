// How many frames may be under way at once. Pure.
//
// Something on the way may refuse a frame for good, for its size or for what it says, and to repeat it would be for ever. So
// after a refusal the way is proven without frames, then the first goes alone, and then twice as many each time.

/** A repeat may change these. Any other refusal of the 4xx, and of a WebSocket's, is lasting if the way is good without frames. */
const LASTING = /^(http 4(?!08|25|29)\d\d|closed (1003|1007|1008|1009))$/;
/** Nothing can be said against these: one is enough. */
const TOO_LARGE = /^(http 413|closed 1009)$/;
/** So often the frame is refused alone. Once may be a box that refuses everything for a moment. */
const REFUSALS_MAX = 2;
/** So many connections in a row are lost over the same frame before it is sent alone … */
const LOSSES_MAX = 3;
/** … and so many in all. A frame that is only too slow for its network has had minutes by then. */
const LOSSES_IN_ALL_MAX = 10;
/** What may be swallowed for good is given longer than a server waits before it says how far it came. */
const PATIENCE_MS = 8_000;
/** From here on there is no limit. */
const FRAMES_MAX = 500;

/** Whether a repeat of a request that failed like this would fail again. */
export function isLasting(how) {
  return LASTING.test(how);
}

/** The limit of one session. */
export class FrameLimit {
  /** Zero: first something without frames has to get through. */
  max = Infinity;
  /** The frame from which on nothing is known to have arrived. */
  #first = 1;
  #refusals = 0;
  #losses = 0;

  /** How long an answer is awaited at least. */
  get patienceMs() {
    return this.max < Infinity ? PATIENCE_MS : 0;
  }

  /** The server has the first `number` frames. */
  acknowledged(number) {
    if (number < this.#first) return;
    this.#startAt(number + 1);
    this.max *= 2;
    if (this.max > FRAMES_MAX) this.max = Infinity;
  }

  /** A request without frames was answered. */
  proven() {
    this.max ||= 1;
  }

  /** The first frames were read and not taken, which is the server's own business. */
  read() {
    this.#startAt(this.#first);
  }

  /** So many frames, from `first` on, did not get through. Whether the first of them never will. */
  failed(first, count, how) {
    if (first !== this.#first) this.#startAt(first);
    this.#losses += 1;
    if (isLasting(how) && count === 1) this.#refusals += TOO_LARGE.test(how) ? REFUSALS_MAX : 1;
    if (isLasting(how) || this.#losses >= LOSSES_MAX) this.max = 0;
    return this.#refusals >= REFUSALS_MAX || (count === 1 && this.#losses >= LOSSES_IN_ALL_MAX);
  }

  #startAt(first) {
    this.#first = first;
    this.#refusals = this.#losses = 0;
  }
}
