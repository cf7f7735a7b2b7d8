// What happens to the page, told to its session. Outside of pages nothing does.

/** Listens until the function that it returns is called. */
export function followPage(session, close) {
  const page = globalThis.window;
  if (!page?.addEventListener) return () => {};
  const verifyIfVisible = () => page.document.visibilityState === "visible" && session.verify();
  const listeners = [
    [page, "online", () => session.setOnline(true)],
    [page, "offline", () => session.setOnline(false)],
    [page, "pagehide", ({ persisted }) => (persisted ? session.suspend() : close())],
    [page, "pageshow", ({ persisted }) => persisted && session.resume()],
    [page.document, "visibilitychange", verifyIfVisible],
    [page.document, "resume", verifyIfVisible],
  ];
  for (const [target, event, listener] of listeners) target.addEventListener(event, listener);
  return () => {
    for (const [target, event, listener] of listeners) target.removeEventListener(event, listener);
  };
}
