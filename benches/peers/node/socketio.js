// The same chat on socket.io, as its documentation shows it. WebSocket alone, as the load asks for nothing else.
//
//     PORT=4000 node socketio.js
//
// With ENGINE=redis://… it is a node of a cluster, by the ADAPTER that is named: sharded or streams.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const { ENGINE: engine, ADAPTER: kind } = process.env;
// A server that is alone does not load what only nodes need.
const adapter = engine && (await (await import("./adapter.js")).adapterOf(engine, kind));
const io = new Server(http, { transports: ["websocket"], adapter });

io.on("connection", (socket) => {
  socket.on("join", (topic, acknowledge) => {
    const allowed = String(topic).startsWith("room:");
    if (allowed) socket.join(topic);
    acknowledge({ status: allowed ? "ok" : "error" });
  });
  socket.on("ping_ack", (payload, acknowledge) => acknowledge(payload));
  socket.on("shout", (payload) => {
    // A socket is in a room of its own, too, which has its id for a name.
    const topics = [...socket.rooms].filter((room) => room !== socket.id);
    io.to(topics).emit("shout", payload);
  });
});

http.listen(Number(process.env.PORT ?? 4000), "127.0.0.1");
