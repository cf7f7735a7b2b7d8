// What can be said of a session, without what proves whose it is.

const STATES = ["connecting", "open", "closing", "closed"];

/** A plain object, good for a page and for JSON. */
export function statusOf({ current: session, reopens, isReopening }, readyState) {
  const { race, ledger } = session;
  const { current } = race;
  const isOpen = STATES[readyState] === "open";
  return {
    state: isOpen && isReopening ? "reopening" : isOpen && !current ? "resuming" : STATES[readyState],
    transport: current?.name ?? null,
    since: current ? race.sinceTime : null,
    why: current ? race.why : "",
    trying: race.trying,
    next: race.climbAt,
    failures: [...race.failures],
    rtt: session.rtt ?? null,
    heartbeat: current ? session.beatMs(current.name) : null,
    singleRequest: session.singleRequest,
    sent: ledger.sent,
    acknowledged: ledger.acknowledged,
    received: ledger.received,
    resumes: session.resumes,
    reopens,
    openedAt: session.openedAt,
    windowMs: session.openedAt === null ? null : session.windowMs,
  };
}
