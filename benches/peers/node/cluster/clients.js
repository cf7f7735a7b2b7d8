// Clients of both protocols, each in one topic. `shout` says something to it, and `hear` is called with what was said.

import { io } from "socket.io-client";
import { WebSocket } from "ws";
import { within } from "../../../../tests/clients/support/wait.js";

export async function connectPhoenix(port, topic, { hear, told }) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/socket/websocket?vsn=2.0.0`, { perMessageDeflate: false });
  const say = (event, payload, ref = null) => socket.send(JSON.stringify(["1", ref, topic, event, payload]));
  const client = { shout: (payload) => say("shout", payload), isClosed: false, close: () => socket.terminate() };
  socket.on("error", () => {});
  socket.on("close", () => (client.isClosed = true));
  await within("a connection", once(socket, "open"));
  const joined = new Promise((resolve, reject) => {
    socket.on("message", (data) => {
      const [, , , event, payload] = JSON.parse(data);
      if (event === "shout") hear(payload);
      else if (event === "gap") told(payload.node);
      else if (event === "phx_reply") payload.status === "ok" ? resolve() : reject(new Error(JSON.stringify(payload)));
    });
  });
  say("phx_join", {}, "1");
  await within("a join", joined);
  return client;
}

export async function connectSocketio(port, topic, { hear }) {
  const socket = io(`http://127.0.0.1:${port}`, { transports: ["websocket"], reconnection: false, forceNew: true });
  const client = {
    shout: (payload) => socket.emit("shout", payload),
    isClosed: false,
    close: () => socket.disconnect(),
  };
  socket.on("disconnect", () => (client.isClosed = true));
  socket.on("shout", hear);
  await within("a connection", once(socket, "connect"));
  const { status } = await within("a join", socket.emitWithAck("join", topic));
  if (status !== "ok") throw new Error(`join of ${topic}: ${status}`);
  return client;
}

/** Resolves with the event, and fails with an error that comes first. */
function once(socket, event) {
  return new Promise((resolve, reject) => {
    socket.once(event, resolve);
    for (const failure of ["error", "connect_error"]) socket.once(failure, reject);
  });
}
