// How far this browser has read a room: kept for its next page, so that this can say what is new.

/** A position up to its number, and the number. */
const partsOf = (position) => position.match(/^(.*:)(\d+)$/)?.slice(1) ?? [];

export class Seen {
  #key;
  /** What was read last before the page was closed, or its session lost; `null` once something new has come. */
  #last;

  constructor(room) {
    this.#key = `lapwing:seen:${room}`;
    try {
      this.#last = localStorage.getItem(this.#key);
    } catch {
      this.#last = null;
    }
  }

  /** What comes next was said while its person was away. */
  expect(position) {
    this.#last = position;
  }

  /** What comes next is of now. */
  expectNothing() {
    this.#last = null;
  }

  /** Whether the message at a position is the first that came after all that was read. */
  isFirstNew(position) {
    if (this.#last === null) return false;
    const [[history, last], [here, now]] = [partsOf(this.#last), partsOf(position)];
    if (history === here && Number(now) <= Number(last)) return false;
    this.#last = null;
    // Of another history nothing is known.
    return history === here;
  }

  note(position) {
    try {
      localStorage.setItem(this.#key, position);
    } catch {
      // Without storage nothing is ever new.
    }
  }
}
