// The same chat on socket.io, as its documentation shows it. WebSocket alone, as the load asks for nothing else.
//
//     PORT=4000 node socketio.js
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { transports: ["websocket"] });

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
