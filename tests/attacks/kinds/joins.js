// One WebSocket that joins the same topics again and again: one is tracked, one waits, one crashes.

import { MB } from "../memory.js";
import { connect, message, text, upgrade, write } from "../wire.js";

const ROUNDS = 200;
/** Each crash is a line of the program's own. */
const CRASHES = 4;

export const joins = {
  name: "joins of one topic",
  what: "one WebSocket joins the same topics again and again, of which one is tracked and one takes its time to end",
  bound: { bytes: 45 * MB, why: "a session" },
  async attack({ port, mount, until, wait_ms }) {
    const join = (topic) => text(message("1", "1", topic, "phx_join", {}));
    const slow = text(message("1", "2", "room:slow", "wait", { ms: wait_ms }));
    const round = Buffer.concat([join("presence:attacked"), join("room:slow"), slow]);
    const crash = Buffer.concat([join("room:crash"), text(message("1", "3", "room:crash", "crash", {}))]);
    const batch = Buffer.concat([...Array(ROUNDS).fill(round), ...Array(CRASHES).fill(crash)]);
    let sent = 0;
    while (Date.now() < until) {
      const socket = await connect(port);
      await write(socket, upgrade(`${mount}/websocket?vsn=2.0.0`));
      while (Date.now() < until && (await write(socket, batch))) sent += 2 * ROUNDS + CRASHES;
      socket.destroy();
    }
    return { joins: sent };
  },
};
