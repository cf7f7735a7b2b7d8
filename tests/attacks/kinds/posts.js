// Large POSTs to a session whose channel waits.

import { MB } from "../memory.js";
import { message, openSession, pause, requester } from "../wire.js";

const POSTS = 60;
const BODY = 7_900_000;

export const posts = {
  name: "POSTs that wait",
  what: `${POSTS} POSTs of 7.9 MB to a session of the dialect whose channel waits`,
  // Two bodies at a time, but for those that were given up and whose next piece has not come yet.
  bound: { bytes: 537 * MB, why: "a mount" },
  // As for long names: a message is decoded in one turn.
  late_ms: 500,
  async attack({ port, mount, until, wait_ms }) {
    const path = `${mount}/longpoll?lapwing=1&vsn=2.0.0`;
    const request = requester(port, POSTS + 1);
    const token = await openSession(request, path);
    const large = (event) => message("1", "3", "room:busy", event, { x: "x".repeat(BODY) });
    const join = [message("1", "1", "room:busy", "phx_join", {}), message("1", "2", "room:busy", "wait", { ms: wait_ms })];
    await request("POST", path, { body: [`!send ${token}`, "!from 1", ...join, large("noop")].join("\n") });
    const body = [`!send ${token}`, "!from 4", large("noop")].join("\n");
    let [answered, failed] = [0, 0];
    const one = async () => {
      const { status } = await request("POST", path, { body });
      if (status === 200) answered += 1;
      else failed += 1;
    };
    while (Date.now() < until) {
      await Promise.race([Promise.all(Array.from({ length: POSTS }, () => one().catch(() => (failed += 1)))), pause(until - Date.now())]);
    }
    return { answered, failed };
  },
};
