// Names of nearly ten megabytes, and events that wait.

import { MB } from "../memory.js";
import { again, connect, message, pause, text, upgrade, write } from "../wire.js";

const LONG = 9_900_000;
const JOINS = 100;
const SOCKETS = 20;

const joinOf = (topic) => text(message("1", "1", topic, "phx_join", {}));

export const names = {
  name: "long names",
  what: "one WebSocket joins topics with names of 9.9 MB, and one has such events for a channel that waits",
  bound: { bytes: 2 * 45 * MB, why: "two sessions" },
  // A message is decoded in one turn, and where little is optimized ten megabytes take a tenth of a second, of two workers here.
  late_ms: 500,
  async attack({ port, mount, until, wait_ms }) {
    const long = "x".repeat(LONG);
    // None takes the place of another.
    const topicOf = (n) => joinOf(`room:${n % JOINS}-${long}`);
    const event = text(message("1", "2", "room:waits", long, {}));
    let sent = 0;
    await again(2, until, async (n) => {
      const socket = await connect(port);
      await write(socket, upgrade(`${mount}/websocket?vsn=2.0.0`));
      await write(socket, joinOf("room:waits"));
      await write(socket, text(message("1", "2", "room:waits", "wait", { ms: wait_ms })));
      while (Date.now() < until) {
        if (!(await write(socket, n === 0 ? topicOf(sent) : event))) return false;
        sent += 1;
      }
      socket.destroy();
      return true;
    });
    return { sent };
  },
};

export const waiting = {
  name: "events that wait",
  what: `${SOCKETS} WebSockets of ${JOINS} joins send each of them an event of 1 MB, and one more, that its channel waits with`,
  bound: { bytes: 537 * MB, why: "a mount" },
  mayRefuse: true,
  async attack({ port, mount, until, wait_ms }) {
    const x = "x".repeat(1_000_000);
    const topics = Array.from({ length: JOINS }, (_, n) => `room:waits-${n}`);
    const events = topics.flatMap((topic) => [1, 2].map(() => text(message("1", "2", topic, "wait", { ms: wait_ms, x }))));
    let sent = 0;
    await again(SOCKETS, until, async () => {
      const socket = await connect(port);
      await write(socket, upgrade(`${mount}/websocket?vsn=2.0.0`));
      await write(socket, Buffer.concat(topics.map(joinOf)));
      for (const event of events) {
        if (Date.now() > until || !(await write(socket, event))) return false;
        sent += 1;
      }
      while (Date.now() < until && !socket.destroyed) await pause(100);
      socket.destroy();
      return true;
    });
    return { events: sent };
  },
};
