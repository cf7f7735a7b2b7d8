// The stock clients, of several versions, over each transport that they have.

import WebSocket from "ws";
import XMLHttpRequest from "xhr2";

// What a browser has and the clients look for. Version 1.6 finds its globals through `self` alone.
globalThis.self = globalThis;
globalThis.WebSocket = WebSocket;

/**
 * The ways from a client to the server.
 *
 * `binary`: what the client can do with bytes over it: nothing, only send them, or both.
 * `keepsOrder`: whether the client itself keeps the order of pushes made in one turn of the event loop.
 */
export function transportsOf(version, { LongPoll }) {
  const isBefore = (other) => compare(version, other) < 0;
  const longpoll = {
    transport: LongPoll,
    // Version 1.6 posts bytes as they are, under a content type of text.
    binary: isBefore("1.7.0") ? "none" : "up",
    // Version 1.6 makes a request of each push, all at once.
    keepsOrder: !isBefore("1.7.0"),
    // A session that is gone is answered by a new one. Clients before 1.8.2 take that for an opened connection and
    // do not join again.
    rejoinsWhenGone: !isBefore("1.8.2"),
  };
  const transports = [
    {
      name: "WebSocket",
      transport: WebSocket,
      binary: "both",
      keepsOrder: true,
      rejoinsWhenGone: true,
      use: () => {},
    },
    { name: "LongPoll over XMLHttpRequest", ...longpoll, use: () => (globalThis.XMLHttpRequest = XMLHttpRequest) },
  ];
  if (!isBefore("1.8.0")) {
    transports.push({ name: "LongPoll over fetch", ...longpoll, use: () => delete globalThis.XMLHttpRequest });
  }
  return transports;
}

/** The client of a version, as npm has it. */
export function loadClient(version) {
  return import(`phoenix-${version}`);
}

function compare(left, right) {
  const [a, b] = [left, right].map((version) => version.split(".").map(Number));
  const differing = a.findIndex((part, index) => part !== b[index]);
  return differing < 0 ? 0 : a[differing] - b[differing];
}
