// Which credentials a server does not want: a page that was refused for good does not ask again with the same.

/** Codes after which only other credentials are worth a try. */
const FINAL = new Set([4401, 4403]);
/** Whose parameters change with each try would fill a page. */
const KEPT_MAX = 16;

/** How it ended, by the address with what is sent along. Of the page: each try of phoenix.js is another instance. */
const refusals = new Map();

/** What a server decides by, as far as a page can tell: cookies and headers that others add are not in it. */
export function credentialsOf(url, { offers }) {
  return [url, ...offers].join("\n");
}

/** Remembers how a session ended that the server does not want again. */
export function noteRefusal(credentials, { code, reason }) {
  if (!FINAL.has(code)) return;
  if (refusals.size >= KEPT_MAX) refusals.delete(refusals.keys().next().value);
  refusals.set(credentials, { code, reason });
}

/** How these credentials were refused, if they were. */
export function refusalOf(credentials) {
  return refusals.get(credentials);
}

export function forgetRefusals() {
  refusals.clear();
}
