// What must be zero after a run, whatever the network did.

import assert from "node:assert/strict";
import { until } from "../support/wait.js";

/** How long what is under way may take to arrive when the pushing is over. */
const DRAIN_MS = 20_000;

/** Lets both ends rest, waits for what is under way, and returns what they counted. */
export async function drain(client, observer) {
  await client.rest();
  observer.rest();
  let records;
  const isThere = async () => {
    records = { client: await client.record(), observer: observer.record() };
    return missing(records) === 0;
  };
  // What does not come is counted, not awaited forever.
  await until("all messages", isThere, DRAIN_MS).catch(() => {});
  return records;
}

function missing({ client, observer }) {
  const under = (sent, { taken }) => sent - taken;
  return (
    under(client.sent, observer.messages) + under(observer.sent, client.messages) + under(client.asked, client.replies)
  );
}

/** Everything that went wrong with these records, in words; nothing if all is well. */
export function wrongs({ client, observer }) {
  const rows = [
    ["up", client.sent, observer.messages],
    ["down", observer.sent, client.messages],
    ["replies", client.asked, client.replies],
  ];
  const counts = rows.flatMap(([way, sent, { taken, duplicated, disordered }]) => [
    [`${way}: lost of ${sent}`, sent - taken],
    [`${way}: duplicated`, duplicated],
    [`${way}: out of order`, disordered],
  ]);
  counts.push(
    ["phx_close", client.channelCloses],
    ["phx_error", client.channelErrors],
    // Two channels were joined once each, on a socket that was opened once.
    ["rejoins", client.joins - 2],
    ["opens", client.opens - 1],
    ["socket closes", client.closes],
    ["socket errors", client.errors],
    ["replies that timed out", client.timeouts],
    // Its own coming was seen.
    ["presence events", observer.presences - 1],
  );
  return counts.filter(([, count]) => count !== 0).map(([what, count]) => `${what}: ${count}`);
}

/** Fails if there is any wrong, or if nothing went either way that could have been lost. */
export function assertZeros(records) {
  assert.deepEqual(wrongs(records), []);
  assert.ok(records.client.sent > 0 && records.observer.sent > 0, "there was traffic in both directions");
}
