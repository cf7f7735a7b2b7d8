// Which transport to try when. Pure: time and chance are arguments.
//
// A transport is judged by what it delivered while another one could: when all fail together, the server or the network is
// away, and nothing is held against any of them.

/** An attachment that dies younger than this was not worth having. */
const YOUNG_MS = 5_000;
/** Deaths are remembered for so long. */
const DEATHS_MS = 2 * 60_000;
/** So many points within that time demote a transport: a young death is one, a mute attachment two. */
const POINTS_MAX = 3;
/** A demotion this recent is on record: then one more death is enough. */
const PROBATION_MS = 5 * 60_000;
/** An attachment that carried for this long has redeemed its transport. */
const REDEEMED_MS = 30_000;
/** What was not tried yet, or only said nothing for a while, gets its chance this soon: most failures of a start are chance. */
const SOON_MS = 1_000;

/**
 * How long a transport is left alone after each failure in a row, but for the first.
 *
 * A try of WebSocket does not disturb the session, so the last step only has to bring clients back within a minute. A try of
 * SSE takes the session over before it can prove itself, so it gets rare.
 */
const COOL_DOWN_MS = {
  websocket: [12_000, 25_000, 40_000],
  sse: [60_000, 120_000, 300_000],
  longpoll: [30_000, 60_000],
};

/** Rounds that nothing came of are short, but for each of these: see `order`. */
const FULL_ROUND = 4;

/** What one page knows of the paths to one mount. */
export class Chooser {
  /** Whether the network lets only one request at a time through. */
  singleRequest = false;
  #records = new Map();
  #winner = null;
  #roundsAway = 0;
  #awayAt = -Infinity;

  /** `saved` is what `toJSON` made. */
  constructor(saved) {
    if (!saved) return;
    this.#winner = saved.winner;
    this.singleRequest = saved.singleRequest;
  }

  /**
   * In which order to try those allowed, best first.
   *
   * What worked last comes first; then what has not failed; what is demoted comes last, since even that is better than nothing.
   * While the server is away only the first is tried in most rounds: otherwise the first to find it back would be any of
   * them by chance, and a restart would move clients off WebSocket.
   */
  order(allowed, now) {
    const rank = (name) => {
      if (this.isDemoted(name, now)) return 3;
      if (name === this.#winner) return 0;
      return this.#record(name).step > 0 ? 2 : 1;
    };
    const names = [...allowed].sort((one, other) => rank(one) - rank(other));
    return this.#roundsAway % FULL_ROUND === 0 ? names : names.slice(0, 1);
  }

  /** The server's first line came by it. */
  proved(name, now) {
    this.#record(name).judgedAt = now;
    this.#winner = name;
    this.#roundsAway = 0;
  }

  /** It carried a session for `ageMs`, and is or was well then. */
  carried(name, ageMs) {
    if (ageMs < REDEEMED_MS) return;
    const { judgedAt } = this.#record(name);
    this.#records.set(name, { ...newRecord(), judgedAt });
  }

  /**
   * An attempt from `startedAt` on failed, with `how`, and another transport was proven instead.
   *
   * A first error is no more than a doubt: the server may have come back between the two, and then the next attempt, at once,
   * will show it. Nor do several sessions count what they all saw at the same time.
   */
  missed(name, how, startedAt, now, chance) {
    const record = this.#record(name);
    if (startedAt <= record.judgedAt) return;
    if (record.step > 0) return this.#demote(name, now, chance);
    record.until = how === "silent" ? now + SOON_MS : now;
    record.step = 1;
    record.judgedAt = now;
  }

  /** An attachment that had been proven died after `ageMs`; of silence (`"mute"`), of its way up (`"post"`) or of anything else. */
  died(name, how, ageMs, now, chance) {
    if (how !== "mute" && how !== "post") this.carried(name, ageMs);
    const record = this.#record(name);
    const points = how === "mute" ? 2 : ageMs < YOUNG_MS ? 1 : 0;
    record.deaths = record.deaths.filter(({ at }) => now - at < DEATHS_MS);
    // Attachments of several sessions that die together have one cause.
    if (record.deaths.some(({ at }) => at > now - ageMs)) return;
    record.deaths.push({ at: now, points });
    const sum = record.deaths.reduce((total, death) => total + death.points, 0);
    const pointsMax = now - record.demotedAt < PROBATION_MS ? 1 : POINTS_MAX;
    // Requests that are swallowed beside a good stream will be again.
    if (how !== "post" && (points === 0 || sum < pointsMax)) return;
    // Once dead, it is known to be no chance.
    record.step = Math.max(record.step, 1);
    record.isShortLived = true;
    this.#demote(name, now, chance);
  }

  /** All that were tried from `startedAt` on failed at once: there is nobody to connect to. */
  away(startedAt, now) {
    if (startedAt <= this.#awayAt) return;
    this.#awayAt = now;
    this.#roundsAway += 1;
  }

  /** How many rounds in a row found nobody. */
  get roundsAway() {
    return this.#roundsAway;
  }

  /** Forgets what is held against a transport, since the page or the network changed. */
  forget(name) {
    this.#records.delete(name);
  }

  /** What to try while `current`, proven at `since`, carries on, and when: `{ name, at }`, or `null` for nothing. */
  climb(current, since, allowed) {
    const rank = allowed.indexOf(current);
    const better = rank < 0 ? allowed.filter((name) => name !== current) : allowed.slice(0, rank);
    const at = ({ step, until }) => (step > 0 ? until : since + SOON_MS);
    const tries = better.map((name) => ({ name, at: at(this.#record(name)) }));
    return tries.reduce((first, next) => (!first || next.at < first.at ? next : first), null);
  }

  /** Whether it is to be left alone for now. */
  isDemoted(name, now) {
    return this.#record(name).until > now;
  }

  /** Whether it was seen to die young, so that it should last a while before it is trusted. */
  isShortLived(name) {
    return this.#record(name).isShortLived;
  }

  toJSON() {
    return { winner: this.#winner, singleRequest: this.singleRequest };
  }

  #demote(name, now, chance) {
    const record = this.#record(name);
    const steps = COOL_DOWN_MS[name];
    const coolDown = steps[Math.min(record.step, steps.length) - 1];
    // Spread, so that the clients of a place do not all try in the same second.
    record.until = now + coolDown * (0.8 + 0.4 * chance);
    record.step += 1;
    record.judgedAt = record.demotedAt = now;
  }

  #record(name) {
    if (!this.#records.has(name)) this.#records.set(name, newRecord());
    return this.#records.get(name);
  }
}

function newRecord() {
  return { until: -Infinity, step: 0, judgedAt: -Infinity, demotedAt: -Infinity, deaths: [], isShortLived: false };
}
