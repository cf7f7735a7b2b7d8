// Where the transports of a mount are, made of the address that phoenix.js would give to a WebSocket.

const BEARER = "base64url.bearer.phx.";

/**
 * The addresses and what is sent along to open a session.
 *
 * `endpoint` is the mount's, with or without `/websocket` at its end, relative to the page or not, of any of the schemes ws, wss,
 * http and https.
 */
export function addressOf(endpoint, protocols) {
  const url = new URL(endpoint, globalThis.location?.href);
  const secure = /^(wss|https):$/.test(url.protocol) ? "s" : "";
  const mount = url.host + url.pathname.replace(/\/(websocket)?$/, "");
  const query = url.search.slice(1);
  const post = (transport) => `http${secure}://${mount}/${transport}?lapwing=1${query && `&${query}`}`;
  const offers = [protocols ?? []].flat();
  return {
    key: mount,
    websocket: `ws${secure}://${mount}/websocket${url.search}`,
    sse: post("sse"),
    longpoll: post("longpoll"),
    offers,
    headers: headersOf(offers),
  };
}

/** Gives an address another auth token, as phoenix.js would send it along. */
export function withToken(address, token) {
  const others = address.offers.filter((offer) => offer !== "phoenix" && !offer.startsWith(BEARER));
  address.offers = ["phoenix", `${BEARER}${btoa(token).replace(/=+$/, "")}`, ...others];
  address.headers = headersOf(address.offers);
}

// phoenix.js hides its auth token among the offers; over HTTP it has a header.
function headersOf(offers) {
  const bearer = offers.find((offer) => offer.startsWith(BEARER));
  return bearer ? { "X-Phoenix-AuthToken": atob(bearer.slice(BEARER.length)) } : {};
}
