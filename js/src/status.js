// What can be said of a session, without what proves whose it is.

const STATES = ["connecting", "open", "closing", "closed"];

/** A plain object, good for a page and for JSON. */
export function statusOf(session, readyState) {
  const { carrier, ledger } = session;
  const { current } = carrier;
  const isOpen = STATES[readyState] === "open";
  return {
    state: isOpen && !current ? "resuming" : STATES[readyState],
    transport: current?.name ?? null,
    since: current ? carrier.sinceTime : null,
    why: current ? carrier.why : "",
    trying: carrier.trying,
    next: carrier.climbAt,
    failures: [...carrier.failures],
    rtt: session.rtt ?? null,
    heartbeat: current ? session.beatMs(current.name) : null,
    singleRequest: session.isSingle,
    sent: ledger.sent,
    acknowledged: ledger.acknowledged,
    received: ledger.received,
    resumes: session.resumes,
    openedAt: session.openedAt,
    windowMs: session.openedAt === null ? null : session.windowMs,
  };
}
