// What pages see of logins: one row is a client over one transport, with what comes of each end that a login may have. It runs in Node and
// in pages, and so imports nothing.

/** What happens to a login, in the order in which it is shown. */
export const EVENTS = ["expiry", "refresh", "refusal", "final close"];

/** For how long a first login is good. A quarter of it is what a renewal may take, and where a busy machine takes longer there is another try. */
const FIRST_MS = [8_000, 24_000, 72_000];
const HOUR = 3_600_000;
/** For how long somebody is watched who is to stay away, and would be back after 40 ms. */
const AWAY_MS = 1_500;
const PATIENCE_MS = 60_000;

/** What must be seen by a client: `version` is that of phoenix.js, `transport` one of ours, or its own. */
export function wanted({ version, isOurs, transport }) {
  if (isOurs) return ["4401 login_expired", "goes on", "4401 the token has expired", "4403 banned, stays away"];
  if (transport === "longpoll") return ["1008 forbidden", "goes on", "1008 forbidden", "1008 forbidden, comes back"];
  return ["4401 login_expired", "goes on", "1006 ", `1000 banned, ${version === "1.7.21" ? "stays away" : "comes back"}`];
}

/**
 * What is seen of each event.
 *
 * `transport(options)` is what a socket of phoenix.js takes as its transport: one of ours with these options, or its own. `ban(user)` sends
 * a user away for good, and `user` is a name that nobody else has.
 */
export async function seen({ Socket, url, transport, isOurs, user, ban, wanted }) {
  const connect = (params, options = {}) => watch(Socket, url, { params, transport: transport(options) });
  const ends = async () => {
    const expiry = await endOf(connect({ token: `${user}-1:500` }));
    const refusal = await refusalOf(connect({ token: "x:y", by: user }), isOurs ? 3 : 1);
    const final = await finalOf(connect({ token: `${user}-2:forever` }), () => ban(`${user}-2`), wanted[3].endsWith("comes back"));
    return { expiry, refusal, final };
  };
  const refreshes = async () => {
    let refresh;
    for (const firstMs of FIRST_MS) {
      const tokens = [firstMs, HOUR].map((ms) => `${user}-3:${ms}`);
      const renewing = isOurs ? connect({}, { getToken: async () => tokens.shift() }) : connect({ token: tokens.shift() });
      refresh = await refreshOf(renewing, firstMs, isOurs ? undefined : tokens[0]);
      if (refresh === "goes on") break;
    }
    return refresh;
  };
  const [{ expiry, refusal, final }, refresh] = await Promise.all([ends(), refreshes()]);
  return [expiry, refresh, refusal, final];
}

/** A socket that comes back soon, and what it sees. It waits longer each time, since phoenix.js 1.7 tears down what has not opened until then. */
function watch(Socket, url, options) {
  const reconnectAfterMs = (tries) => Math.min(20 * 2 ** tries, 5_000);
  const socket = new Socket(url, { ...options, timeout: PATIENCE_MS, reconnectAfterMs });
  const watched = { socket, opens: 0, closes: [], statuses: [] };
  socket.onOpen(() => (watched.opens += 1));
  socket.onClose(({ code, reason }) => {
    // On a machine that is late a first try may come to nothing.
    if (reason !== "no transport got through") watched.closes.push(`${code} ${reason}`);
  });
  socket.connect();
  return watched;
}

async function endOf(watched) {
  await until(() => watched.closes.length > 0);
  watched.socket.disconnect();
  return watched.closes[0];
}

/** All that it is told, so many times. What phoenix.js makes of its own long-poll the second time is its own. */
async function refusalOf(watched, times) {
  await until(() => watched.closes.length >= times);
  watched.socket.disconnect();
  return [...new Set(watched.closes.slice(0, times))].join(" and ");
}

async function finalOf(watched, ban, comesBack) {
  await until(() => watched.opens > 0);
  await ban();
  await until(() => watched.closes.length > 0);
  const isBack = await until(() => watched.opens > 1, comesBack ? PATIENCE_MS : AWAY_MS).catch(() => false);
  watched.socket.disconnect();
  return `${watched.closes[0]}, ${isBack ? "comes back" : "stays away"}`;
}

/** Whether its session goes on behind the end of its first login; a stock client brings the next token by an event. */
async function refreshOf(watched, firstMs, token) {
  const { socket } = watched;
  const begun = performance.now();
  const channel = socket.channel("room:logins");
  await answered(channel.join());
  if (token) {
    const reply = new Promise((resolve) => socket.onMessage(({ topic, payload }) => topic === "phoenix" && resolve(payload.status)));
    socket.push({ topic: "phoenix", event: "token", payload: { token }, ref: socket.makeRef() });
    const status = await reply;
    if (status !== "ok") return `the token is refused: ${status}`;
  }
  await until(() => performance.now() - begun > firstMs + 1_000 || watched.closes.length > 0, 2 * firstMs + PATIENCE_MS);
  const isAnswered = watched.closes.length === 0 && (await answered(channel.push("ping", {}))) === "ok";
  const isWhole = isAnswered && watched.opens === 1 && watched.closes.length === 0;
  socket.disconnect();
  return isWhole ? "goes on" : `ends: ${watched.closes.join(", ")}`;
}

function answered(push) {
  return new Promise((resolve) => {
    for (const status of ["ok", "error", "timeout"]) push.receive(status, () => resolve(status));
  });
}

async function until(condition, ms = PATIENCE_MS) {
  for (const end = performance.now() + ms; ; await new Promise((resolve) => setTimeout(resolve, 10))) {
    if (condition()) return true;
    if (performance.now() > end) throw new Error(`not so within ${ms} ms: ${condition}`);
  }
}

/** The rows as a table for people. */
export function tableOf(rows) {
  const lines = rows.map(({ name, events }) => `| ${name} | ${events.map((event) => event.trim()).join(" | ")} |`);
  return [`| client | ${EVENTS.join(" | ")} |`, "|---|---|---|---|---|", ...lines].join("\n");
}
