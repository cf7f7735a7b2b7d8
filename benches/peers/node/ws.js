// A chat that speaks Phoenix V2 frames, written by hand on ws.
//
//     PORT=4000 node ws.js
import { WebSocketServer } from "ws";

const topics = new Map();
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.env.PORT ?? 4000), path: "/socket/websocket" });

server.on("connection", (socket) => {
  const joined = new Set();

  socket.on("error", () => socket.terminate());
  socket.on("close", () => {
    for (const topic of joined) {
      const members = topics.get(topic);
      members.delete(socket);
      if (members.size === 0) topics.delete(topic);
    }
  });
  socket.on("message", (data) => {
    const [joinRef, ref, topic, event, payload] = JSON.parse(data);
    const reply = (status, response) =>
      socket.send(JSON.stringify([joinRef, ref, topic, "phx_reply", { status, response }]));

    if (event === "heartbeat" && topic === "phoenix") {
      reply("ok", {});
    } else if (event === "phx_join" && topic.startsWith("room:")) {
      if (!topics.has(topic)) topics.set(topic, new Set());
      topics.get(topic).add(socket);
      joined.add(topic);
      reply("ok", {});
    } else if (event === "ping" && joined.has(topic)) {
      reply("ok", payload);
    } else if (event === "shout" && joined.has(topic)) {
      // As bytes, or each send would encode the text anew.
      const frame = Buffer.from(JSON.stringify([null, null, topic, "shout", payload]));
      for (const member of topics.get(topic)) member.send(frame, { binary: false });
    } else {
      reply("error", { reason: "unmatched topic" });
    }
  });
});
