// The page of the inspector.

import { endWords, failureText, judgeLife, linesOf, transportName, unexplained } from "./life.js";
import { plot, ratesOf } from "./plot.js";
import { bytes, count, facts, h, many, nameLink, nameText, table, timeText } from "./view.js";

const base = location.href.replace(/[?#].*/, "").replace(/\/*$/, "/");
const main = document.getElementById("main");
const PERIOD_MS = 2_000;
const SAMPLES_MAX = 300;
const TRACE_LINES_MAX = 500;
/** For how long it is counted how much is said on a topic: there are few traces for all who look. */
const COUNTED_MS = 10_000;

let samples = [];
/** Ends what the page before this one has begun. */
let leaving = new AbortController();

async function ask(path, params = {}) {
  const response = await fetch(`${base}${path}?${new URLSearchParams(params)}`, { cache: "no-store", signal: leaving.signal });
  if (!response.ok) throw new Error(response.status === 404 ? "It is not there any more." : `The server answered with ${response.status}.`);
  return await response.json();
}

async function act(path, body) {
  const response = await fetch(`${base}${path}`, { method: "POST", headers: { "x-lapwing-inspector": "yes", "content-type": "application/json" }, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`The server answered with ${response.status}.`);
  const text = await response.text();
  return text ? JSON.parse(text) : {};
}

/** Asks a question, and does the deed if the answer is yes. */
function question(title, consequence, deed, done) {
  const dialog = document.getElementById("ask");
  document.getElementById("question").textContent = title;
  document.getElementById("consequence").textContent = consequence;
  dialog.returnValue = "no";
  dialog.onclose = async () => {
    if (dialog.returnValue !== "yes") return;
    try {
      done(await deed());
    } catch (error) {
      done({ error: error.message });
    }
  };
  dialog.showModal();
}

// The pages, by the first word of their address.

const PAGES = { "": overview, sessions, session, topics, topic, trace };

async function overview() {
  const after = samples.at(-1)?.at ?? 0;
  const { now, samples: newer, isReady, ends, endsSince, cluster } = await ask("overview", { after });
  samples = [...samples, ...newer].slice(-SAMPLES_MAX);
  const level = (name) => samples.map((sample) => ({ at: sample.at, value: sample[name] }));
  const plots = h("div", { className: "plots" }, [
    plot("sessions", level("sessions"), count),
    plot("over WebSocket", level("connections"), count),
    plot("over event streams", level("sse"), count),
    plot("by long-poll", level("longpoll"), count),
    plot("between connections", level("detached"), count),
    plot("joins", level("joins"), count),
    plot("topics", level("topics"), count),
    plot("presences", level("presences"), count),
    plot("frames a second", ratesOf(samples, "frames_out"), count),
    plot("bytes a second", ratesOf(samples, "bytes_out"), bytes),
    plot("moves a second", ratesOf(samples, "resumed"), count),
    plot("held for clients", level("bytes_held"), bytes),
  ]);
  const endRows = Object.entries(ends).sort(([, one], [, other]) => other - one).map(([reason, times]) => [endWords(reason), count(times)]);
  const said = h("p", { role: "status" });
  const drain = () =>
    question("Send all clients away?", "This node takes no new clients and closes all sessions, at the pace that its mounts say. It does not come back: the process has to be started again.", () => act("drain", {}), ({ error }) => (said.textContent = error ?? "The node goes down."));
  return [
    h("h2", {}, "Now"),
    plots,
    h("h2", {}, "Why sessions ended"),
    endsSince === null
      ? h("p", { className: "quiet" }, "Nothing is noted yet. Builder::journal turns the journal on.")
      : [h("p", { className: "quiet" }, `Since ${timeText(endsSince)} UTC, as far as the journal goes back.`), endRows.length ? table("Why sessions ended", ["reason", "sessions"], endRows) : h("p", {}, "None has ended.")],
    h("h2", {}, "Node"),
    facts([["Ready", isReady ? "yes" : "no"], ["Not let in", count(now.refused)], ["Closed as too much was held", count(now.over_budget)], ["Kept messages", `${count(now.kept.messages)}, topics ${count(now.kept.topics)}`]]),
    cluster && clusterView(cluster),
    h("p", { className: "buttons" }, h("button", { type: "button", className: "danger", onclick: drain }, "Send all clients away")),
    said,
  ];
}

function clusterView({ nodes, engine }) {
  const [own, ...others] = nodes;
  others.sort((one, other) => (one.name < other.name ? -1 : 1));
  const rows = [[`${own.name} (this one)`, own.state], ...others.map(({ name, state }) => [name, state])];
  return [
    h("h2", {}, "Cluster"),
    table("Nodes", ["node", "state"], rows),
    h("p", {}),
    facts([
      ["Engine", engine.up ? "connected" : "away"],
      engine.round_trip_us !== null && ["Round trip", `${(engine.round_trip_us / 1000).toFixed(1)} ms`],
      ["Published", count(engine.published)],
      ["Delivered", count(engine.delivered)],
      ["Gaps", count(engine.gaps)],
      engine.last_error && ["Last error", nameText({ name: engine.last_error })],
    ]),
  ];
}

const SESSION_SORTS = [["", "newest first"], ["waiting", "most waiting"], ["unacknowledged", "most unacknowledged"], ["topics", "most topics"]];

async function sessions(_, params) {
  const { rows, total, perPage, pagesMax } = await ask("sessions", params);
  const cells = rows.map((row) => [
    h("a", { href: `#/session/${row.id}` }, row.id),
    row.user ? nameText(row.user) : "–",
    stateText(row),
    nameText(row.mount),
    [row.topics.map((shown, at) => [at > 0 && ", ", nameText(shown)]), row.topicCount > row.topics.length && `, ${count(row.topicCount - row.topics.length)} more`].flat(2).filter(Boolean),
    bytes(row.waiting.bytes),
    bytes(row.unacknowledged.bytes),
  ]);
  return [
    h("h2", {}, "Sessions"),
    filter("sessions", params, "User, topic, mount, transport or number", SESSION_SORTS),
    h("p", { className: "quiet" }, `${count(total)} found`),
    table("Sessions", ["number", "user", "carried by", "mount", "topics", "waiting", "unacknowledged"], cells),
    turning("sessions", params, { total, perPage, pagesMax }),
  ];
}

function stateText({ transport, isAttached, carriedBy, isResumable }) {
  const words = `${transportName(transport)}${isAttached ? "" : ", away"}${isResumable ? "" : " (ends with its connection)"}`;
  return carriedBy ? [words, ", by way of ", nameText(carriedBy)] : words;
}

async function session(id) {
  const { session: live, user, entries, left } = await ask("session", { id });
  const findings = judgeLife(entries, live?.path);
  const said = h("p", { role: "status" });
  const end = () =>
    question(`Disconnect all connections of ${nameText(user)}?`, "On all nodes. Pages come back by themselves unless the program refuses them.", () => act("disconnect", { user: user.name }), ({ error, count: ended, missing }) => {
      said.textContent = error ?? `${count(ended)} ended.${missing.length ? ` These nodes did not answer: ${missing.join(", ")}.` : ""}`;
    });
  return [
    h("h2", {}, `Session ${id}`),
    live
      ? facts([
          ["User", user ? nameText(user) : "anonymous"],
          ["Carried by", stateText(live)],
          ["Mount", nameText(live.mount)],
          ["Began", `${count(live.ageMs / 1000)} s ago`],
          unexplained(live) && ["Why not a WebSocket", unexplained(live)],
          live.path?.roundTripMs && ["Round trip", `${count(live.path.roundTripMs)} ms`],
          live.path && ["Tried in vain", live.path.failures.map(failureText).join("; ") || "nothing"],
          ["Waiting", `${count(live.waiting.frames)} frames, ${bytes(live.waiting.bytes)}${live.waiting.ms > 0 ? `, for ${count(live.waiting.ms / 1000)} s` : ""}`],
          ["Unacknowledged", `${count(live.unacknowledged.frames)} frames, ${bytes(live.unacknowledged.bytes)}`],
        ])
      : facts([["User", user ? nameText(user) : "anonymous"], ["State", "it is over"]]),
    h("p", { className: "buttons" }, h("span", { className: "quiet" }, `As it was at ${timeText(Date.now()).slice(0, 8)} UTC.`), h("button", { type: "button", onclick: show }, "Look again")),
    findings.length > 0 && [h("h2", {}, "What its network does"), h("ul", { className: "findings" }, findings.map(({ id: name, title, text, remedy }) => h("li", { "data-id": name }, h("h3", {}, title), h("p", {}, text), h("p", { className: "remedy" }, remedy))))],
    live && [h("h2", {}, `Topics (${count(live.topicCount)})`), h("p", {}, live.topics.map((shown) => [nameLink(shown, "#/topic/"), " "]).flat())],
    h("h2", {}, "Life"),
    left > 0 && h("p", { className: "quiet" }, `${count(left)} entries before these are not shown.`),
    entries.length ? h("ol", { className: "life" }, linesOf(entries).map(({ at, text }) => h("li", {}, h("time", {}, timeText(at)), text))) : h("p", { className: "quiet" }, "The journal has nothing of it. Builder::journal turns the journal on."),
    user && !user.more && h("p", { className: "buttons" }, h("a", { href: `#/trace/user/${encodeURIComponent(user.name)}` }, "Trace this user live"), h("button", { type: "button", className: "danger", onclick: end }, "Disconnect this user")),
    said,
  ].flat();
}

async function topics(_, params) {
  const { rows, total, perPage, pagesMax } = await ask("topics", params);
  return [
    h("h2", {}, "Topics"),
    filter("topics", params, "Part of a name", [["", "most subscribers"], ["name", "by name"]]),
    h("p", { className: "quiet" }, `${count(total)} found`),
    table("Topics", ["topic", "subscribers"], rows.map((row) => [nameLink(row.topic, "#/topic/"), count(row.subscribers)])),
    turning("topics", params, { total, perPage, pagesMax }),
  ];
}

async function topic(name) {
  const { topic: shown, members, presence, history } = await ask("topic", { name });
  const rate = h("span", {}, "counting");
  countMessages(name, rate).catch((error) => leaving.signal.aborted || rate.append(`: ${error.message}`));
  const rows = members.rows.map(({ id, user }) => [h("a", { href: `#/session/${id}` }, id), user ? nameText(user) : "–"]);
  return [
    h("h2", {}, nameText(shown)),
    facts([
      ["Joins here", count(members.total)],
      ["Joins on all nodes", `${count(members.everywhere)}${members.missing.length ? `, without ${members.missing.join(", ")}` : ""}`],
      presence && ["Present", `${many(presence.people, "key")}, ${many(presence.metas, "presence")}`],
      history && ["Remembered", count(history.length)],
      ["Messages", rate],
    ]),
    h("p", { className: "buttons" }, h("a", { href: `#/trace/topic/${encodeURIComponent(name)}` }, "Trace it live")),
    members.total > 0 && [h("h2", {}, "Members"), table("Members", ["session", "user"], rows), members.total > rows.length && h("p", { className: "quiet" }, `The first ${rows.length}.`)],
    presence?.keys.length > 0 && [h("h2", {}, "Presence"), h("p", {}, presence.keys.map(nameText).join(", "))],
    history?.length > 0 && [h("h2", {}, "History"), table("History", ["event", "bytes", "position"], history.map((row) => [nameText(row.event), count(row.bytes), row.position]))],
  ].flat();
}

async function trace(kind, _, name) {
  const follow = h("form", {
    className: "filter",
    onsubmit: (event) => {
      event.preventDefault();
      const { kind: asked, name: of } = event.target.elements;
      location.hash = `#/trace/${asked.value}/${encodeURIComponent(of.value)}`;
    },
  }, h("label", {}, "Trace", h("select", { name: "kind" }, h("option", { value: "topic" }, "a topic"), h("option", { value: "user", selected: kind === "user" }, "a user"))), h("label", {}, "with the name", h("input", { name: "name", required: true, value: name ?? "" })), h("button", { className: "first" }, "Trace"));
  if (!name) return [h("h2", {}, "Trace"), follow];
  const lines = h("pre", { tabIndex: 0, ariaLabel: "What happens", role: "log" });
  const rate = h("span", { className: "quiet" });
  showTrace({ [kind]: name }, lines, rate).catch((error) => leaving.signal.aborted || lines.append(`${error.message}\n`));
  const address = `${base}trace?${new URLSearchParams({ [kind]: name })}`;
  return [h("h2", {}, "Trace"), follow, h("p", {}, rate), lines, h("p", { className: "quiet" }, `In a terminal: curl -N -u :KEY '${address.replaceAll("'", "%27")}'`)];
}

/** Counts what is said on a topic, for a while. */
async function countMessages(topic, rate) {
  const { signal } = leaving;
  const counting = new AbortController();
  const end = () => counting.abort();
  signal.addEventListener("abort", end);
  let seen = 0;
  const timers = [];
  // Time counts from the first line on: a busy server or browser may take a while until then.
  const begin = () => {
    const begun = performance.now();
    const show = () => {
      const s = (performance.now() - begun) / 1_000;
      rate.textContent = `${(seen / s).toFixed(1)} a second, over ${count(s)} s`;
    };
    timers.push(setInterval(show, 1_000), setTimeout(end, COUNTED_MS));
  };
  try {
    await readTrace({ topic }, counting.signal, (lines) => {
      // One says that it begins, and one of many how many are not there.
      for (const line of lines) {
        if (/ is traced$/.test(line)) begin();
        else seen += Number(/ (\d+) came too fast and are not here$/.exec(line)?.[1] ?? 1);
      }
    });
  } catch (error) {
    if (!counting.signal.aborted) throw error;
  } finally {
    timers.forEach(clearTimeout);
    signal.removeEventListener("abort", end);
  }
}

async function showTrace(params, lines, rate) {
  const { signal } = leaving;
  let seen = 0;
  const timer = setInterval(() => {
    rate.textContent = `${many(Math.round(seen / 2), "line")} a second`;
    seen = 0;
  }, 2_000);
  signal.addEventListener("abort", () => clearInterval(timer));
  await readTrace(params, signal, (whole) => {
    seen += whole.length;
    for (const line of whole) lines.append(h("div", {}, line));
    while (lines.childElementCount > TRACE_LINES_MAX) lines.firstElementChild.remove();
    lines.scrollTop = lines.scrollHeight;
  });
  lines.append(h("div", {}, "The trace is over."));
}

/** Gives the lines of a trace to `take` as they come. */
async function readTrace(params, signal, take) {
  const response = await fetch(`${base}trace?${new URLSearchParams(params)}`, { signal });
  if (!response.ok) throw new Error(`The server answered with ${response.status}.`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const whole = (rest + value).split("\n");
    rest = whole.pop();
    take(whole);
  }
}

function filter(page, params, label, sorts) {
  return h("form", {
    className: "filter",
    onsubmit: (event) => {
      event.preventDefault();
      const { search, sort } = event.target.elements;
      location.hash = `#/${page}?${new URLSearchParams({ search: search.value, sort: sort.value })}`;
    },
  }, h("label", {}, label, h("input", { name: "search", type: "search", value: params.search ?? "" })), h("label", {}, "Order", h("select", { name: "sort" }, sorts.map(([value, text]) => h("option", { value, selected: value === (params.sort ?? "") }, text)))), h("button", { className: "first" }, "Show"));
}

function turning(page, params, { total, perPage, pagesMax }) {
  const at = Number(params.page ?? 0);
  const last = Math.min(pagesMax, Math.ceil(total / perPage)) - 1;
  const to = (number, text) => h("a", { href: `#/${page}?${new URLSearchParams({ ...params, page: number })}` }, text);
  if (last < 1) return null;
  return h("p", {}, at > 0 && to(at - 1, "Back"), at > 0 && " ", `page ${count(at + 1)} of ${count(last + 1)}`, at < last && " ", at < last && to(at + 1, "Next"));
}

async function unknown() {
  return [h("h2", {}, "There is no such page"), h("p", {}, h("a", { href: "#/" }, "Overview"))];
}

/** A part of an address that somebody may have written by hand. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, ...rest] = path.split("/").map(decoded);
  const params = Object.fromEntries(new URLSearchParams(query));
  for (const link of document.querySelectorAll("nav a")) {
    const own = link.getAttribute("href").slice(2);
    const isHere = own === page || own === `${page}s`;
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const render = Object.hasOwn(PAGES, page) ? PAGES[page] : unknown;
  for (;;) {
    try {
      const content = await render(rest[0], params, rest[1]);
      if (signal.aborted) return;
      main.replaceChildren(...content.flat().filter(Boolean));
    } catch (error) {
      if (signal.aborted) return;
      main.replaceChildren(h("p", { className: "fault", role: "alert" }, error.message));
    }
    if (render !== overview) return;
    await new Promise((resolve) => setTimeout(resolve, PERIOD_MS));
    if (signal.aborted) return;
  }
}

window.addEventListener("hashchange", show);
show();
