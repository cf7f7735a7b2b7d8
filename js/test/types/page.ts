// A page's use of the package, which must compile. A line under `@ts-expect-error` must not.

import { Presence, Socket, type Push } from "phoenix";
import { recover } from "lapwing-transport/recover";
import Lapwing, { type LapwingFailure, type LapwingStatus, type TransportName } from "lapwing-transport";

const show = (status: LapwingStatus) => console.log(status.transport, status.why);
const transport = Lapwing.with({ transports: ["websocket", "longpoll"], onStatus: show, heartbeatMs: { sse: 10_000 } });
const socket = new Socket("/socket", { transport, params: () => ({ user: "ada" }), authToken: () => "token" });
socket.connect();
const status: LapwingStatus | undefined = socket.conn?.status();
socket.conn?.switchTo("sse");
const plain = new Socket("/socket", { longPollFallbackMs: 2_500 });
plain.onClose(({ code }) => console.log(code));

interface Said {
  text: string;
}
const room = socket.channel("room:lobby", { name: "ada" });
const ref: number = room.on<Said>("said", ({ text }) => console.log(text.toUpperCase()));
room
  .join()
  .receive<{ history: Said[] }>("ok", ({ history }) => console.log(history.length))
  .receive("error", ({ reason }) => console.log(reason))
  .receive("timeout", () => console.log("late"));
room.push("say", { text: "hello" }, 5_000).receive("ok", () => room.off("said", ref));
room.push("draw", new ArrayBuffer(8));
room.onError(() => console.log(room.state));
socket.push({ topic: "phoenix", event: "token", payload: { token: "next" }, ref: socket.makeRef() });

const said: Push = room.push("say", { text: "again" });

const kept = socket.channel("kept:lobby");
const position: () => string = recover(kept, "-20");

const presence = new Presence<{ name: string }>(room);
presence.onJoin((key, current, joined) => console.log(key, current?.metas.length, joined.metas[0]?.name));
presence.onLeave((key, current) => console.log(key, current.metas.length === 0));
const names: string[] = presence.list((_key, { metas }) => metas[0]?.name ?? "?");

const session = new Lapwing(new URL("wss://chat.example/socket"));
session.onmessage = ({ data }) => console.log(typeof data);
session.onclose = ({ code, reason, wasClean }) => console.log(code, reason, wasClean);
session.send(new Uint8Array(3));
const failure: LapwingFailure | undefined = session.status().failures[0];
const name: TransportName = "longpoll";
session.addEventListener("gap", ({ topic, reason }) => console.log(topic.length, reason));
const reopening = Lapwing.with({ reopenMs: 0, onGap: ({ reason }) => console.log(reason), onRecovered: ({ replayed }) => console.log(replayed + 1) });

// @ts-expect-error: no transport has that name.
session.switchTo("websockets");
// @ts-expect-error: no option has that name.
Lapwing.with({ heartbeat: 3 });
// @ts-expect-error: the bytes of a Blob come too late.
session.send(new Blob());
// @ts-expect-error: a gap has no such field.
session.addEventListener("gap", ({ replayed }) => console.log(replayed));
// @ts-expect-error: a topic is a text.
socket.channel(1);
// @ts-expect-error: a payload is an object.
room.push("say", "hello");
// @ts-expect-error: the transport of this socket has no status.
plain.conn?.status();
// @ts-expect-error: a message of no channel has a ref.
socket.push({ topic: "phoenix", event: "token", payload: {} });
// @ts-expect-error: phoenix.js exports no such class.
new Push();
// @ts-expect-error: the metas of this presence have no such field.
presence.list((_key, { metas }) => metas[0]?.age);

export { position, failure, said, name, reopening, names, status };
