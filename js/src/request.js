// One POST, with an end to it.

/** Until the next bytes of an answer that has begun. */
const PIECE_MS = 5_000;

/** Why a request failed: `"silent"`, `"error"` or `"http STATUS"`. */
export class RequestError extends Error {
  constructor(how) {
    super(how);
    this.how = how;
  }
}

/**
 * Sends lines, and resolves to what `read` makes of the response.
 *
 * Until there is a response it may take `deadlineMs`; each call of the function that `read` is given allows for another piece.
 */
export class Request {
  #controller = new AbortController();
  #timer;
  #isSilent = false;
  #deadlineMs;

  constructor(fetch, url, lines, { deadlineMs, headers = {}, read = readText }) {
    this.#deadlineMs = deadlineMs;
    this.#expect(deadlineMs);
    this.answer = this.#send(fetch, url, lines, headers, read);
    // Whoever aborts it does not wait for it.
    this.answer.catch(() => {});
  }

  abort() {
    clearTimeout(this.#timer);
    this.#controller.abort();
  }

  /** The answer may take that long again. */
  wait() {
    if (this.#deadlineMs) this.#expect(this.#deadlineMs);
  }

  async #send(fetch, url, lines, headers, read) {
    const { signal } = this.#controller;
    try {
      // A string makes it text/plain, which needs no preflight.
      const response = await fetch(url, { method: "POST", body: lines.join("\n"), headers, signal, cache: "no-store" });
      if (!response.ok) throw new RequestError(`http ${response.status}`);
      this.#deadlineMs = 0;
      return await read(response, (ms = PIECE_MS) => this.#expect(ms));
    } catch (error) {
      if (error instanceof RequestError) throw error;
      throw new RequestError(this.#isSilent ? "silent" : "error");
    } finally {
      this.#deadlineMs = 0;
      clearTimeout(this.#timer);
    }
  }

  #expect(ms) {
    clearTimeout(this.#timer);
    if (ms === Infinity) return;
    this.#timer = setTimeout(() => {
      this.#isSilent = true;
      this.#controller.abort();
    }, ms);
  }
}

/** Reads a body to its end, piece by piece where it comes so, lest a long one be taken for a silent one. */
export async function readText(response, expect) {
  expect();
  if (!response.body?.getReader) return response.text();
  let text = "";
  await readPieces(response, expect, (piece) => (text += piece));
  return text;
}

/** Hands on the pieces of a body as they come. */
export async function readPieces(response, expect, take) {
  if (!response.body?.getReader) throw new RequestError("no stream");
  expect();
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return take(decoder.decode());
    expect();
    take(decoder.decode(value, { stream: true }));
  }
}
