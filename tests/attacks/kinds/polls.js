// A session full of frames, and 150 connections that poll it and do not read the answers.

import { MB } from "../memory.js";
import { connect, head, message, openSession, pause, requester, write } from "../wire.js";

const POLLS = 150;
/** Below what an outbox holds, and what the one frame more may be: 11.8 MB. */
const FRAMES = [3_900_000, 7_500_000];
const BOUND = { bytes: 45 * MB + FRAMES[1] + POLLS * 28_000, why: "a session and a frame, 28 KB an answer" };

const join = message("1", "1", "room:full", "phx_join", {});
const pushes = () => FRAMES.map((bytes) => message("1", "2", "room:full", "push_me", { x: "x".repeat(bytes) }));

export const pollsOfSessions = {
  name: "polls, dialect",
  what: `${POLLS} polls of a session of the dialect with 11.4 MB waiting, of which nobody reads the answers`,
  bound: BOUND,
  async attack({ port, mount, until }) {
    const path = `${mount}/longpoll?lapwing=1&vsn=2.0.0`;
    const request = requester(port, 4);
    const token = await openSession(request, path);
    await request("POST", path, { body: [`!send ${token}`, "!from 1", join, ...pushes()].join("\n") });
    return hold(port, until, (n) => {
      // The reply to the join was received, and by the second half of the polls the first large frame.
      const body = `!resume ${token} ${n < POLLS / 2 ? 1 : 2} 30000`;
      return head("POST", path, { "Content-Length": body.length }) + body;
    });
  },
};

export const pollsOfStock = {
  name: "polls, stock",
  what: `${POLLS} polls of a stock session with 11.4 MB waiting, of which nobody reads the answers`,
  bound: BOUND,
  async attack({ port, mount, until }) {
    const path = `${mount}/longpoll?vsn=2.0.0`;
    const request = requester(port, 4);
    const token = async (query) => encodeURIComponent(JSON.parse((await request("GET", `${path}${query}`)).text).token);
    const opened = `&token=${await token("")}`;
    const headers = { "Content-Type": "application/x-ndjson" };
    for (const body of [join, ...pushes()]) await request("POST", `${path}${opened}`, { body, headers });
    // The reply to the join.
    const polled = `&token=${await token(opened)}`;
    return hold(port, until, () => head("GET", `${path}${polled}`));
  },
};

async function hold(port, until, requestOf) {
  const sockets = [];
  for (let n = 0; n < POLLS && Date.now() < until; n += 1) {
    const socket = await connect(port, { reads: false });
    await write(socket, requestOf(n));
    sockets.push(socket);
    await pause(10);
  }
  await pause(until - Date.now());
  return { polls: sockets.length };
}
