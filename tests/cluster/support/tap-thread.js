// What stands between a node and its engine, and passes bytes, or does not.

import net from "node:net";
import { serve } from "./thread.js";

class Tap {
  #target;
  #server;
  #links = new Set();
  #isDown = false;
  #cutNext;
  #delayMs = 0;

  constructor(target) {
    this.#target = target;
  }

  async listen() {
    this.#server = net.createServer((node) => this.#take(node));
    await new Promise((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  port() {
    return this.#server.address().port;
  }

  /** What the node says comes so many milliseconds later. */
  delay(ms) {
    this.#delayMs = ms;
  }

  #take(node) {
    if (this.#isDown) return node.resetAndDestroy();
    const link = { node, engine: net.connect(this.#target, "127.0.0.1"), swallows: {}, hasPublished: false, isConfirmed: false, isCut: false };
    this.#links.add(link);
    for (const socket of [link.node, link.engine]) {
      socket.setNoDelay(true);
      // Whoever is cut hears of it by the close.
      socket.on("error", () => {});
      socket.on("close", () => this.#end(link));
    }
    node.on("data", (bytes) => this.#up(link, bytes));
    link.engine.on("data", (bytes) => {
      // A Redis answers each publication, a NATS the PING behind it.
      if (link.hasPublished && (bytes.includes(":") || bytes.includes("PONG"))) link.isConfirmed = true;
      if (!link.swallows.toNode && !link.isCut && !node.write(bytes)) {
        link.engine.pause();
        node.once("drain", () => link.isStalled || link.engine.resume());
      }
    });
  }

  #up(link, bytes) {
    if (link.swallows.toEngine) return;
    if (this.#delayMs > 0) setTimeout(() => link.engine.writable && link.engine.write(bytes), this.#delayMs);
    // What a node tries out when it connects is no publication.
    else if (!bytes.includes("PUB") || bytes.includes("probe")) link.engine.write(bytes);
    else if (!this.#cutNext || !link.isConfirmed) {
      link.hasPublished = true;
      link.engine.write(bytes);
    } else {
      // Every byte of it arrives, and no answer to it.
      link.isCut = true;
      const cut = this.#cutNext;
      this.#cutNext = undefined;
      link.engine.write(bytes, () => setTimeout(() => cut(this.#end(link)), 2));
    }
  }

  #end(link) {
    if (!this.#links.delete(link)) return;
    link.node.destroy();
    link.engine.destroy();
  }

  /** Ends the connections that are there; new ones are let in. */
  cut() {
    for (const link of [...this.#links]) this.#end(link);
  }

  /** There is no way to the engine, until `up`. */
  down() {
    this.#isDown = true;
    this.cut();
  }

  up() {
    this.#isDown = false;
  }

  /** The connections that are there pass nothing in a direction, `toEngine` or `toNode`, and look as before. New ones pass. */
  swallow(direction) {
    for (const link of this.#links) link.swallows[direction] = true;
  }

  /** The connections that are there read nothing from the engine any more, until they end. New ones do. */
  stall() {
    for (const link of this.#links) {
      link.isStalled = true;
      link.engine.pause();
    }
  }

  /**
   * A publication goes to the engine, and its connection is cut before the answer. Resolves when that has happened. It is not the first of its
   * connection: a node none of whose publications is ever confirmed makes no headway, and has the engine away.
   */
  cutNextPublication() {
    return new Promise((resolve) => (this.#cutNext = resolve));
  }

  async stop() {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

await serve(async (target) => {
  const tap = new Tap(target);
  await tap.listen();
  return tap;
});
