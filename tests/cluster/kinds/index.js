// All kinds of trials: how each is run, at which size.

import { broadcastTrial } from "../trial.js";
import { anywhere, anywhereTrial } from "./anywhere.js";
import { broadcasts } from "./broadcasts.js";
import { disconnectTrial } from "./calls.js";
import { carriedTrial } from "./carried.js";
import { joinTrial } from "./joins.js";
import { killedTrial } from "./killed.js";
import { outageTrial } from "./outage.js";
import { ownerKilledTrial } from "./ownerkilled.js";
import { presence, presenceTrial } from "./presence.js";
import { relayedTrial } from "./relayed.js";
import { rollingTrial } from "./rolling.js";

/** Broadcasts a second. */
const RATE = Number(process.env.RATE ?? 5_000);

/** As large as a machine with two cores bears. */
export const FULL = {
  broadcasts: { clients: 300, topics: 100, rate: RATE, ms: 60_000, publicationsCut: 1_000, forged: 1_000_000, pauseMs: 10_000, slack_ms: 500 },
  outage: { clients: 300, topics: 100, rate: RATE, ms: 10_000, awayMs: 30_000, present: 100, slack_ms: 2, gapsMax: 1 },
  presence: { present: 2_000, zombieMs: 60_000, pauseMs: 10_000, flaps: 30, slack_ms: 0 },
  joins: { joins: 10_000, delayMs: 20 },
  carried: { sessions: 2_000, rate: 50, ms: 20_000, messagesMax: 1.1 },
  relayed: { sessions: 200, perSecond: 10, ms: 20_000, slack_ms: 30 },
  anywhere: { each: 300, perSecond: 1, ms: 600_000 },
  rolling: { stock: 500, resumable: 2_000, calmMs: 5_000 },
  ownerKilled: { each: 60, slack_ms: 0 },
  killed: { sessions: 200, afterMs: Array.from({ length: 40 }, (_, n) => n * 10) },
  calls: { users: 200, slack_ms: 0 },
};

/** Some seconds each, beside others: what takes time is only waited for. */
export const SHORT = {
  broadcasts: { clients: 10, topics: 10, rate: 200, ms: 4_000, publicationsCut: 30, forged: 5_000, pauseMs: 6_000, slack_ms: 30_000 },
  outage: { clients: 10, topics: 10, rate: 2_000, ms: 2_000, awayMs: 15_000, present: 10, slack_ms: 30_000, gapsMax: Infinity },
  presence: { present: 60, zombieMs: 1_000, pauseMs: 6_000, flaps: 2, slack_ms: 30_000 },
  joins: { joins: 300, delayMs: 20 },
  carried: { sessions: 40, rate: 20, ms: 3_000, messagesMax: Infinity },
  relayed: { sessions: 10, perSecond: 10, ms: 1_000, slack_ms: 30_000 },
  anywhere: { each: 4, perSecond: 10, ms: 12_000 },
  rolling: { stock: 20, resumable: 10, calmMs: 500 },
  ownerKilled: { each: 4, slack_ms: 30_000 },
  killed: { sessions: 20, afterMs: [10, 30, 60, 100] },
  calls: { users: 10, slack_ms: 30_000 },
};

/**
 * What is run, at each size. `engines` are those that can do it, if not all; `inShort` those on which it is run in small, if not on all: what
 * waits for long is run on one of them, or at full size alone.
 */
export const kinds = [
  ...broadcasts.map((kind) => ({
    group: "broadcasts",
    ...kind,
    run: (engine, scale) => broadcastTrial(engine, kind, scale.broadcasts),
  })),
  {
    group: "broadcasts",
    name: "engine away",
    what: "the engine is away for longer than the nodes keep what they cannot say",
    inShort: ["redis"],
    run: (engine, scale) => outageTrial(engine, scale.outage),
  },
  ...presence.map((kind) => ({ group: "presence", ...kind, run: (engine, scale) => presenceTrial(engine, kind, scale.presence) })),
  {
    group: "joins",
    name: "joins",
    what: "joins to new topics, each with a broadcast elsewhere at its answer",
    run: (engine, scale) => joinTrial(engine, scale.joins),
  },
  ...anywhere.map((kind) => ({ group: "sessions", ...kind, run: (engine, scale) => anywhereTrial(engine, kind, scale.anywhere) })),
  {
    group: "sessions",
    name: "carried",
    what: "a room whose people are all carried by another node hears everything, each broadcast in one message",
    run: (engine, scale) => carriedTrial(engine, scale.carried),
  },
  {
    group: "sessions",
    name: "relayed",
    what: "pushes by way of another node are answered, a little later than those at their own",
    run: (engine, scale) => relayedTrial(engine, scale.relayed),
  },
  {
    group: "sessions",
    name: "rolling restart",
    what: "each node is started anew, and nobody who stays is seen to leave",
    run: (engine, scale) => rollingTrial(engine, scale.rolling),
  },
  {
    group: "sessions",
    name: "owner killed",
    what: "the node of some sessions is killed: they are told so, and what was said meanwhile on a kept topic is there",
    run: (engine, scale) => ownerKilledTrial(engine, scale.ownerKilled),
  },
  {
    group: "sessions",
    name: "killed while it goes",
    what: "a node is killed while its sessions go to the others, and nothing comes twice or is missing in silence",
    inShort: ["nats"],
    run: (engine, scale) => killedTrial(engine, scale.killed),
  },
  {
    group: "calls",
    name: "disconnect",
    what: "users are sent away by another node, one of them while the engine is away",
    run: (engine, scale) => disconnectTrial(engine, scale.calls),
  },
];
