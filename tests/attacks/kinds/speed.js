// Ordinary things, as fast as one connection can say them.

import { MB } from "../memory.js";
import { connect, message, text, upgrade, write } from "../wire.js";

const BATCH = 1_000;

/** Says the same again and again over one WebSocket, which is begun anew when the server ends it. */
async function atFullSpeed({ port, mount, until }, frames) {
  const batch = Buffer.concat(Array(BATCH).fill(Buffer.concat(frames.map(text))));
  let [said, begun] = [0, 0];
  while (Date.now() < until) {
    begun += 1;
    const socket = await connect(port);
    await write(socket, upgrade(`${mount}/websocket?vsn=2.0.0`));
    while (Date.now() < until && (await write(socket, batch))) said += BATCH * frames.length;
    socket.destroy();
  }
  return { said, begun };
}

export const heartbeats = {
  name: "heartbeats",
  what: "one WebSocket says heartbeats as fast as it can, and reads the answers",
  bound: { bytes: 10 * MB, why: "an outbox" },
  attack: (place) => atFullSpeed(place, [message(null, "1", "phoenix", "heartbeat", {})]),
};

export const joinsAndLeaves = {
  name: "joins and leaves",
  what: "one WebSocket joins a topic and leaves it as fast as it can, and reads the answers",
  bound: { bytes: 45 * MB, why: "a session" },
  attack: (place) =>
    atFullSpeed(place, [message("1", "1", "presence:left", "phx_join", {}), message("1", "2", "presence:left", "phx_leave", {})]),
};

export const tooFast = {
  name: "too fast",
  what: "one WebSocket says heartbeats as fast as it can, is closed for that, and comes back at once",
  // The others have no rates, so that who measures is as fast as can be.
  mount: "/socket_rates",
  bound: { bytes: 10 * MB, why: "an outbox" },
  attack: (place) => atFullSpeed(place, [message(null, "1", "phoenix", "heartbeat", {})]),
};
