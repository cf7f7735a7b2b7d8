// The tables of what the runs have seen. Pure: results go in, Markdown comes out.

/** What breaks, and the behaviours that belong to it: the short table of the README. Each behaviour is in one group. */
export const groups = [
  ["nothing", ["nothing at all"]],
  [
    "connections are killed, early or when idle",
    [
      "connections are killed after 300 ms",
      "idle connections are killed after 2 s",
      "WebSockets are killed after 300 ms",
      "101, then a reset",
      "requests are cut off after 2 s, no WebSocket",
      "the network is away for 1 s",
      "a gateway: kills after 300 ms, drops 10 %",
    ],
  ],
  [
    "connections stay open and carry nothing",
    [
      "connections go half-open",
      "half-open under SSE",
      "half-open under long-poll",
      "101, then silence",
      "event streams are mute",
      "a train: 200 ms, jitter, WebSockets mute",
    ],
  ],
  [
    "the upgrade to WebSocket is refused, stripped or swallowed",
    [
      "the upgrade is stripped",
      "the upgrade is refused (403)",
      "the upgrade is answered by a page (200)",
      "the upgrade is swallowed",
    ],
  ],
  [
    "responses are held back",
    [
      "HTTP/1.0, no chunks",
      "responses are held back, no WebSocket",
      "the first 1 KB is held back, no WebSocket",
      "the first 64 KB are held back, no WebSocket",
      "a scanner: one request, held back, no WebSocket",
      "an old proxy: HTTP/1.0, held back, upgrades swallowed",
    ],
  ],
  [
    "one connection or one request at a time",
    [
      "one connection at a time",
      "one connection at a time, no WebSocket",
      "one request at a time",
      "one request at a time, no WebSocket",
    ],
  ],
  [
    "requests or answers are lost",
    [
      "POSTs are swallowed",
      "POSTs are swallowed under long-poll",
      "replies to POSTs are swallowed",
      "replies to POSTs are swallowed under long-poll",
      "10 % of all responses are dropped",
      "a third of the replies to POSTs is dropped",
    ],
  ],
  ["everything is slow", ["delay of 150 ms, jitter of 100 ms, each way", "8 KB a second"]],
  [
    "nginx, HAProxy and Squid, HTTP/1.1 and HTTP/2",
    [
      "nginx as it comes",
      "nginx, tuned",
      "HAProxy, closes after 20 s",
      "HAProxy, tuned",
      "HTTP/2 by HAProxy",
      "HTTP/2 by nginx",
      "HTTP/2, connections are killed after 500 ms",
      "HTTP/2, connections go half-open",
      "HTTP/2, delay of 150 ms, jitter of 100 ms, each way",
      "HTTP/2, the network is away for 1 s",
      "Squid as forward proxy",
    ],
  ],
];

/** The whole table: a row for each behaviour. `platforms` are `{ name, results }`. */
export function networks(behaviours, platforms) {
  const figures = ["first message, ms", "carried by", "longest wait in mid-session, ms", "back on WebSocket, s"];
  const rows = behaviours.map((behaviour) => [behaviour.name, ...cellsOf(behaviour, platforms)]);
  const names = platforms.map(({ name }) => name).join(" · ");
  return `Each cell: ${names}.\n\n${markdown(["behaviour", ...figures, "intact"], rows)}`;
}

/** The short table: how many behaviours of each group the session came through whole, on all platforms that can have them. */
export function summary(behaviours, platforms) {
  const grouped = groups.flatMap(([, names]) => names);
  const missing = behaviours.filter(({ name }) => grouped.filter((other) => other === name).length !== 1);
  if (missing.length) throw new Error(`not in one group: ${missing.map(({ name }) => name).join("; ")}`);
  const rows = groups.slice(1).map(([what, names]) => {
    const all = behaviours.filter(({ name }) => names.includes(name));
    const whole = all.filter((one) => platforms.every(({ name, results }) => mark(one, results[one.name] ?? {}, name) !== "✗"));
    const waits = platforms.flatMap(({ results }) => names.map((name) => results[name]?.survivedMs ?? 0));
    return [what, `${whole.length} of ${all.length}`, `${(Math.max(...waits) / 1_000).toFixed(1)} s`];
  });
  return markdown(["what breaks", "networks in which the session stayed intact", "longest wait for a message"], rows);
}

/** The stock client beside ours: `rows` are those of `comparison.js`. */
export function comparison(rows) {
  const head = ["fault", "client", "messages lost", "doubled", "joined again", "seen to leave or come", "longest wait"];
  const cells = rows.flatMap(({ name, clients }) =>
    clients.map((client, at) => [
      at ? "" : name,
      client.name,
      `${client.lost} of ${client.sent}`,
      String(client.doubled),
      `${client.rejoins} ×`,
      `${client.flaps} ×`,
      `${(client.worstMs / 1_000).toFixed(1)} s`,
    ]),
  );
  return markdown(head, cells);
}

/** Puts a section between two comments of a text. */
export function replaced(text, name, section) {
  const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`the file lacks ${begin} and ${end}`);
  return `${text.slice(0, from + begin.length)}\n${section}\n${text.slice(to)}`;
}

function markdown(head, rows) {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function cellsOf(behaviour, platforms) {
  const both = (show) => {
    const shown = platforms.map(({ name, results }) => show(results[behaviour.name] ?? {}, name));
    return new Set(shown).size === 1 ? shown[0] : shown.join(" · ");
  };
  const number = (value, digits) => (value === undefined || value === null ? "–" : value.toFixed(digits));
  return [
    both(({ firstMs }) => number(firstMs, 0)),
    both(({ transport }) => transport ?? "–"),
    both(({ survivedMs }) => number(survivedMs, 0)),
    both(({ backMs }) => number(backMs && backMs / 1_000, 1)),
    both((row, platform) => mark(behaviour, row, platform)),
  ];
}

/** Node is spared what only browsers speak. */
function mark(behaviour, row, platform) {
  if (behaviour.isHttp2 && platform === "Node") return "–";
  return isWhole(behaviour, row) ? "✓" : "✗";
}

/** Whether all scenarios of a behaviour have come to a good end: those that did not leave nothing here. */
function isWhole({ isMidOnly, isStartOnly }, { firstMs, survivedMs }) {
  return (isMidOnly || firstMs !== undefined) && (isStartOnly || survivedMs !== undefined);
}
