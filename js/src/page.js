// What happens to the page, told to its session. A worker has less of it, other programs have nothing.

/** Listens until the function that it returns is called. `leave` ends the session of a page that is going. */
export function followPage(session, leave) {
  const page = globalThis;
  const { document } = page;
  const verifyIfVisible = () => document.visibilityState === "visible" && session.verify();
  const hide = ({ persisted }) => (persisted ? session.suspend() : leave());
  // What the page itself says in such a moment goes before: so the last of all who listen.
  const hideLast = () => page.addEventListener("pagehide", hide, { once: true });
  const listeners = [
    [page, "online", () => session.setOnline(true)],
    [page, "offline", () => session.setOnline(false)],
    [page, "pagehide", hideLast, { capture: true }],
    [page, "pageshow", ({ persisted }) => persisted && session.resume()],
    [document, "visibilitychange", verifyIfVisible],
    [document, "resume", verifyIfVisible],
  ].filter(([target]) => target?.addEventListener);
  for (const [target, ...listener] of listeners) target.addEventListener(...listener);
  return () => {
    for (const [target, ...listener] of listeners) target.removeEventListener(...listener);
  };
}
