// An event stream, as it comes in pieces. Pure.

/** Reads the data of events. No event of this dialect has more than one line of data. */
export class EventReader {
  #rest = "";

  /** The lines of data in what came next. */
  read(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    return lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(line[5] === " " ? 6 : 5));
  }
}
