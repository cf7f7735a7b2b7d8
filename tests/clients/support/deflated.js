// What a client with permessage-deflate says to the testbed, and gets back.

/** Where the testbed compresses. */
export const MOUNT = "/socket_deflate";

/** Payloads of many sizes: words that repeat, letters of several bytes, and what does not shrink. */
export function payloads() {
  const rows = (count) => Array.from({ length: count }, (_, id) => ({ id, status: ["open", "done"][id % 2], owner: `user-${id % 7}` }));
  let state = 1;
  const noise = (length) =>
    Array.from({ length }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return String.fromCharCode(33 + ((state >>> 24) % 90));
    }).join("");
  return [
    {},
    { text: "small" },
    ...[1, 5, 40, 400, 4_000].map((count) => ({ rows: rows(count) })),
    ...[100, 2_000, 70_000].map((length) => ({ text: noise(length) })),
    ...[10, 1_000, 50_000].map((times) => ({ text: "écrit à la main 🖋 ".repeat(times) })),
  ];
}

/**
 * Joins a room over a WebSocket, asks for each payload to come back and for each to be broadcast, all at once. Returns which extensions
 * were agreed on, and what came that was not what was said. It needs nothing from outside, so that it can run in a page.
 */
export function exchange(WebSocket, url, topic, payloads) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    const replies = new Map();
    const broadcasts = [];
    const wrong = [];
    let left = 1 + 2 * payloads.length;
    const send = (ref, event, payload) => socket.send(JSON.stringify(["1", ref, topic, event, payload]));
    const compare = (what, got, said) => {
      if (JSON.stringify(got) !== JSON.stringify(said)) wrong.push(`${what}: ${JSON.stringify(got).slice(0, 200)}`);
    };
    socket.addEventListener("open", () => {
      send("1", "phx_join", {});
      payloads.forEach((payload, index) => {
        replies.set(`ping-${index}`, payload);
        broadcasts.push(payload);
        send(`ping-${index}`, "ping", payload);
        send(null, "shout", payload);
      });
    });
    socket.addEventListener("message", ({ data }) => {
      const [, ref, , event, payload] = JSON.parse(data);
      left -= 1;
      if (event === "shout") compare("broadcast", payload, broadcasts.shift());
      else if (ref !== "1") compare(ref, payload.response, replies.get(ref));
      if (left === 0) socket.close();
    });
    socket.addEventListener("close", ({ code }) => {
      if (left > 0) reject(new Error(`closed with ${code}, and ${left} messages are missing`));
      else resolve({ extensions: socket.extensions, wrong });
    });
    socket.addEventListener("error", () => {});
  });
}
