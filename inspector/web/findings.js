// What can be wrong with a network, in plain words: what it does, and what lapwing does about it. Pure.

const LASTING = "lapwing's page keeps what it has to say until the server has confirmed it, and its session outlives the connection: nothing is lost or doubled.";

/** A time for people. */
export function spell(ms) {
  if (ms < 950) return `${Math.round(ms / 10) * 10} ms`;
  return ms < 9_950 ? `${(ms / 1000).toFixed(1).replace(".0", "")} s` : `${Math.round(ms / 1000)} s`;
}

/** By the id of a finding: the title, what the network does, and what lapwing does about it. */
const FINDINGS = {
  unreachable: () => [
    "The server cannot be reached",
    "No request was answered in the time of this examination.",
    "A page with lapwing tries again until there is a network, and carries its session on if that took less than its window, two minutes by default.",
  ],
  upgrade_stripped: () => [
    "WebSockets are not passed on",
    "A proxy on the way takes the question for a WebSocket out of the request, as proxies do that were not set up for WebSockets.",
    "The session goes over an event stream or by long-poll, and asks for a WebSocket again now and then.",
  ],
  upgrade_refused: () => [
    "WebSockets are refused",
    "Something between this page and the server answers the question for a WebSocket itself, with an error or a page of its own. The server never saw it.",
    "The session goes over an event stream or by long-poll, and asks for a WebSocket again now and then.",
  ],
  upgrade_swallowed: () => [
    "WebSockets are never answered",
    "The question for a WebSocket vanishes: nobody answers it, and nobody refuses it.",
    "Another transport is tried as well after a moment, and has the session long before the WebSocket would have failed.",
  ],
  websocket_mute: () => [
    "WebSockets open and carry nothing",
    "A WebSocket opens, but nothing that is said on it arrives.",
    "A WebSocket counts as working once the server's first line came by it; until then others are tried.",
  ],
  websocket_killed: ({ ms }) => [
    "WebSockets are cut",
    ms > 0
      ? `A WebSocket works at first and is reset after about ${spell(ms)}, while other connections live on.`
      : "A WebSocket is reset as soon as it has opened.",
    "A transport whose connections die young is used last, and the session goes on with another.",
  ],
  connections_killed: ({ ms }) => [
    "Connections are cut",
    `Every connection is reset after about ${spell(ms)}, whatever is on it.`,
    LASTING,
  ],
  idle_killed: ({ ms }) => [
    "Silent connections are cut",
    `A connection on which nobody says anything for about ${spell(ms)} is reset.`,
    "The page sees how long its connections last and says something before that.",
  ],
  responses_cut: ({ ms }) => [
    "Long answers are cut off",
    `An answer that takes longer than about ${spell(ms)} is cut off. Event streams are such answers.`,
    "An event stream that was cut off is begun again where it ended; if that happens too often, polls take its place.",
  ],
  connections_forgotten: () => [
    "Open connections went silent",
    "Connections that had worked carried nothing any more, without being closed: something on the way forgot them, or was unplugged.",
    "The page asks when it hears nothing, and moves its session to a new connection when there is no answer.",
  ],
  interrupted: ({ ms }) => [
    "The network was away",
    `All connections broke at the same moment, and new ones worked again after about ${spell(ms)}.`,
    "The session waits on the server, and goes on when the page is back.",
  ],
  one_at_a_time: () => [
    "One thing at a time",
    "While a connection or a request is open, another one waits until that is over. Scanners on the user's own machine do that. An event stream blocks everything else there.",
    "The session goes over a WebSocket alone; where there is none, by polls that carry both ways, one after the other.",
  ],
  http10: () => [
    "A proxy speaks HTTP/1.0",
    "Requests reach the server in a version of HTTP from 1996, which has no WebSockets and closes each connection after one answer.",
    "Event streams and long-poll need nothing newer.",
  ],
  stream_mute: () => [
    "Event streams carry nothing",
    "An event stream begins, but nothing of what is said on it arrives.",
    "A stream counts as working once its first line came; where there is none, the session goes by long-poll, whose answers are complete.",
  ],
  held_back: ({ kb }) => [
    "Answers are held back",
    kb === undefined
      ? "An answer arrives as a whole when it has ended: something on the way reads all of it first. An event stream never ends, and so never arrives."
      : `An answer arrives only once about ${kb} KB of it are there.`,
    kb === undefined || kb > 4
      ? "Where a stream's first line does not come soon, the session goes by long-poll, whose answers are complete."
      : "lapwing's event streams begin with more bytes than that, which the page ignores.",
  ],
  posts_swallowed: () => [
    "What is sent by POST vanishes",
    "A request with a body is taken, and neither reaches the server nor is answered.",
    "Such a transport cannot carry what the page says: it is given up, for a WebSocket where there is one.",
  ],
  post_replies_swallowed: () => [
    "Answers to POSTs vanish",
    "A request with a body reaches the server, but its answer never comes back: whoever tries again does it twice.",
    "Messages have numbers: what the server has already is not taken a second time.",
  ],
  responses_dropped: ({ percent }) => [
    "Answers are lost",
    `About ${percent} % of all answers do not arrive, and their connections break.`,
    LASTING,
  ],
  post_replies_dropped: ({ percent }) => [
    "Answers to POSTs are lost",
    `About ${percent} % of the answers to requests with a body do not arrive, while other answers do.`,
    LASTING,
  ],
  bodies_refused: ({ kb, how }) => [
    "Large requests are refused",
    `A request with a body of ${kb} KB is refused (${how}), while small ones pass.`,
    "The page learns how much passes at once and sends smaller pieces; a single message that is larger ends the session with code 4422.",
  ],
  websocket_fails: () => [
    "WebSockets do not open",
    "The page's WebSockets were closed before anything came by them: something on the way refuses them, or does not pass them on.",
    "The session goes over an event stream or by long-poll, and asks for a WebSocket again now and then.",
  ],
  websocket_unanswered: () => [
    "WebSockets are not answered",
    "The page asked for a WebSocket and nothing came by it in time: the question is swallowed, or the WebSocket opens and carries nothing.",
    "Another transport is tried as well after a moment, and has the session long before the WebSocket would have failed.",
  ],
  stream_unanswered: () => [
    "Event streams carry nothing",
    "The page asked for an event stream and nothing came by it in time: streams are held back, or mute.",
    "The session goes by long-poll, whose answers are complete.",
  ],
  requests_fail: () => [
    "Requests break off",
    "Requests of the page ended without an answer.",
    LASTING,
  ],
  slow: ({ ms }) => [
    "The way is long",
    `An answer takes about ${spell(ms)}.`,
    "Waits and time-outs follow the round trip that was measured.",
  ],
  throttled: ({ kb }) => [
    "The line is narrow",
    `About ${kb} KB pass in a second.`,
    "Nothing is given up that is only slow, and messages keep their order.",
  ],
};

/** The ids of all findings. */
export const FINDING_IDS = Object.keys(FINDINGS);

/** A finding in words. Figures that its words need are in `params`. */
export function finding(id, params = {}) {
  const [title, text, remedy] = FINDINGS[id](params);
  return { id, ...params, title, text, remedy };
}
