// What happens to the page, told to its session. A worker has less of it, other programs have nothing.

/** Listens until the function that it returns is called. `leave` ends the session of a page that is going. */
export function followPage(session, leave) {
  const page = globalThis;
  const { document } = page;
  const verifyIfVisible = () => document.visibilityState === "visible" && session.verify();
  const hide = ({ persisted }) => (persisted ? session.suspend() : leave());
  const listeners = [
    [page, "online", () => session.setOnline(true)],
    [page, "offline", () => session.setOnline(false)],
    // Firefox breaks off the script that runs while a tab is closed, whichever that is and wherever it stands, and lets the next
    // one run: most often it is the first. What was done is not done again.
    [page, "pagehide", () => {}],
    [page, "pagehide", hide],
    [page, "pagehide", (event) => hide(event)],
    [page, "pageshow", ({ persisted }) => persisted && session.resume()],
    [document, "visibilitychange", verifyIfVisible],
    [document, "resume", verifyIfVisible],
  ].filter(([target]) => target?.addEventListener);
  for (const [target, event, listener] of listeners) target.addEventListener(event, listener);
  return () => {
    for (const [target, event, listener] of listeners) target.removeEventListener(event, listener);
  };
}
