// The hostile behaviours that the table is about.
//
// `faults`: what the proxy does from the start, or from the middle of a session on.
// `begin`: what happens to the connections that are open in the middle: `"cut"` resets them, also without it, and `"freeze"` makes
// them pass nothing any more; with `null` nothing does. `from`: the transport that the session is on then.
// `uses`: which transports may carry the session while it lasts; any of them without it.
// `isMidOnly`: from the start it would be nothing at all, or leave nobody to connect to.
// `isStartOnly`: nothing can begin in the middle.
// `isHttp2`: for browsers, that speak HTTP/2 over TLS with `program`.
// `program`: a real proxy. `silentMs`: how long nobody says anything. `perSecond`: messages each way, 20 without it.

const noWebsocket = "strip_upgrade";
const noStream = [noWebsocket, "mute_event_streams"];

export const behaviours = [
  { name: "nothing at all", isStartOnly: true, faults: [], uses: ["websocket"] },

  { name: "connections are killed after 300 ms", faults: [{ kill_after_ms: 300 }] },
  { name: "idle connections are killed after 2 s", faults: [{ kill_idle_ms: 2_000 }], silentMs: 5_000 },
  { name: "one connection at a time", faults: ["one_connection"] },
  { name: "one connection at a time, no WebSocket", faults: ["one_connection", noWebsocket], uses: ["longpoll"] },
  { name: "delay of 150 ms, jitter of 100 ms, each way", faults: [{ delay: { by_ms: 150, jitter_ms: 100 } }] },
  { name: "8 KB a second", faults: [{ trickle_bytes_per_s: 8_000 }], perSecond: 5 },
  { name: "connections go half-open", faults: [], begin: "freeze", isPulse: true },
  { name: "half-open under SSE", isMidOnly: true, faults: [], begin: "freeze", from: "sse" },
  { name: "half-open under long-poll", isMidOnly: true, faults: [], begin: "freeze", from: "longpoll" },
  { name: "the network is away for 1 s", isMidOnly: true, faults: ["down"], awayMs: 1_000 },

  { name: "the upgrade is stripped", faults: [noWebsocket], uses: ["sse"] },
  { name: "the upgrade is refused (403)", faults: [{ refuse_upgrade: 403 }], uses: ["sse"] },
  { name: "the upgrade is answered by a page (200)", faults: [{ refuse_upgrade: 200 }], uses: ["sse"] },
  { name: "the upgrade is swallowed", faults: ["swallow_upgrade"], uses: ["sse"] },
  { name: "101, then a reset", faults: [{ kill_websocket_ms: 0 }], uses: ["sse"] },
  { name: "WebSockets are killed after 300 ms", faults: [{ kill_websocket_ms: 300 }] },
  { name: "101, then silence", faults: ["mute_websockets"], uses: ["sse"], begin: "freeze" },

  { name: "HTTP/1.0, no chunks", faults: ["http10"], uses: ["sse"] },
  { name: "one request at a time", faults: ["one_request"], uses: ["websocket"] },
  { name: "one request at a time, no WebSocket", faults: ["one_request", noWebsocket], uses: ["longpoll"] },
  { name: "POSTs are swallowed", faults: ["swallow_posts"], uses: ["websocket"], from: "sse", begin: null },
  {
    name: "POSTs are swallowed under long-poll", isMidOnly: true,
    faults: ["swallow_posts"], from: "longpoll", begin: null,
  },
  {
    name: "replies to POSTs are swallowed",
    faults: ["swallow_post_replies"], uses: ["websocket"], from: "sse", begin: null,
  },
  {
    name: "replies to POSTs are swallowed under long-poll", isMidOnly: true,
    faults: ["swallow_post_replies"], from: "longpoll", begin: null,
  },

  { name: "event streams are mute", faults: noStream, uses: ["longpoll"], from: "sse", begin: "freeze" },
  { name: "10 % of all responses are dropped", faults: [...noStream, dropped(0.1)], uses: ["longpoll"] },
  {
    name: "a third of the replies to POSTs is dropped",
    faults: [noWebsocket, { drop_every: { nth: 3, of: "posts" } }],
  },
  { name: "responses are held back, no WebSocket", faults: [noWebsocket, "buffer_responses"], uses: ["longpoll"] },
  {
    name: "the first 1 KB is held back, no WebSocket",
    faults: [noWebsocket, { buffer_first_bytes: 1_024 }], uses: ["sse"],
  },
  {
    name: "the first 64 KB are held back, no WebSocket",
    faults: [noWebsocket, { buffer_first_bytes: 65_536 }], uses: ["longpoll"],
  },
  { name: "requests are cut off after 2 s, no WebSocket", faults: [noWebsocket, { cap_response_ms: 2_000 }] },

  {
    name: "a scanner: one request, held back, no WebSocket",
    faults: ["one_request", "buffer_responses", noWebsocket], uses: ["longpoll"],
  },
  {
    name: "an old proxy: HTTP/1.0, held back, upgrades swallowed",
    faults: ["http10", "buffer_responses", "swallow_upgrade"], uses: ["longpoll"],
  },
  { name: "a gateway: kills after 300 ms, drops 10 %", faults: [{ kill_after_ms: 300 }, dropped(0.1)] },
  {
    name: "a train: 200 ms, jitter, WebSockets mute",
    faults: [{ delay: { by_ms: 100, jitter_ms: 100 } }, "mute_websockets"], begin: "freeze",
  },

  { name: "nginx as it comes", program: "nginx-default", faults: [], uses: ["sse"] },
  { name: "nginx, tuned", program: "nginx", faults: [], uses: ["websocket"] },
  { name: "HAProxy, closes after 20 s", program: "haproxy-short", faults: [], uses: ["websocket"] },
  { name: "HAProxy, tuned", program: "haproxy", faults: [], uses: ["websocket"] },
  { name: "HTTP/2 by HAProxy", ...http2("haproxy"), faults: [], uses: ["websocket"] },
  { name: "HTTP/2 by nginx", ...http2("nginx"), faults: [], uses: ["websocket"] },
  { name: "HTTP/2, connections are killed after 500 ms", ...http2("haproxy"), faults: [{ kill_after_ms: 500 }] },
  { name: "HTTP/2, connections go half-open", ...http2("haproxy"), faults: [], begin: "freeze", isPulse: true },
  {
    name: "HTTP/2, delay of 150 ms, jitter of 100 ms, each way", ...http2("haproxy"),
    faults: [{ delay: { by_ms: 150, jitter_ms: 100 } }],
  },
  { name: "HTTP/2, the network is away for 1 s", ...http2("haproxy"), isMidOnly: true, faults: ["down"], awayMs: 1_000 },
  { name: "Squid as forward proxy", program: "squid", faults: [], uses: ["websocket"] },
];

function http2(program) {
  return { program: `${program}-http2`, isHttp2: true };
}

function dropped(chance) {
  return { drop_random: { chance, of: "all" } };
}
