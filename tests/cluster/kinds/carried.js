// A room whose people are all carried by another node than the one that has their sessions.

import http from "node:http";
import { pause, until } from "../../clients/support/wait.js";
import { connect } from "../support/client.js";
import { startCluster } from "../support/cluster.js";

/** Sessions that begin at a time. */
const AT_ONCE = 50;

const ROOM = "room:carried";

/** So many sessions of the first node, carried by the second as event streams, hear so many broadcasts of the third. */
export async function carriedTrial(engine, { sessions, rate, ms, messagesMax }) {
  const cluster = await startCluster(engine);
  const [owner, carrier, speaker] = cluster.nodes;
  const streams = [];
  let client;
  try {
    for (let from = 0; from < sessions; from += AT_ONCE) {
      const some = Array.from({ length: Math.min(AT_ONCE, sessions - from) }, () => Stream.open(owner, carrier));
      streams.push(...(await Promise.all(some)));
    }
    client = await connect(speaker);
    await client.join("room:publishers");
    const counts = async (node) => JSON.parse(await node.fetch("/stats")).relays;
    const before = { owner: await counts(owner), carrier: await counts(carrier) };
    const began = performance.now();
    let said = 0;
    while (performance.now() - began < ms) {
      said += 1;
      client.say("room:publishers", "tell", { topic: ROOM, payload: { n: said } });
      await pause(Math.max(0, (said * 1_000) / rate - (performance.now() - began)));
    }
    const isThere = () => streams.every(({ heard }) => heard === said);
    await until("all of it is heard", isThere, 60_000).catch(() => {});
    const after = { owner: await counts(owner), carrier: await counts(carrier) };
    const per = (of) => Number(((after[of].messages - before[of].messages) / said).toFixed(2));
    const lost = streams.reduce((sum, { heard }) => sum + Math.abs(said - heard), 0);
    const did = { sessions, carried: after.owner.carried, said, lost, owner_messages: per("owner"), carrier_messages: per("carrier") };
    const faults = [];
    if (after.owner.carried < sessions) faults.push(`${after.owner.carried} of ${sessions} sessions are carried`);
    if (lost > 0) faults.push(`${lost} broadcasts were lost or doubled`);
    if (did.owner_messages > messagesMax) faults.push(`${did.owner_messages} messages of the owner for a broadcast`);
    return { did, faults };
  } finally {
    client?.close();
    streams.forEach((stream) => stream.close());
    await cluster.stop();
  }
}

/** A session of one node, of which another carries the event stream. */
class Stream {
  heard = 0;
  #request;

  static async open(owner, carrier) {
    const [opened] = await post(owner, "longpoll", "!open 120000");
    const token = opened.split(" ")[1];
    await post(owner, "longpoll", `!send ${token}\n!from 1\n["1","1","${ROOM}","phx_join",{}]`);
    const stream = new Stream();
    await stream.#begin(carrier, token);
    return stream;
  }

  #begin(carrier, token) {
    return new Promise((resolve, reject) => {
      this.#request = http.request(urlOf(carrier, "sse"), { method: "POST", agent: false }, (response) => {
        let rest = "";
        response.setEncoding("utf8").on("data", (text) => {
          const lines = (rest + text).split("\n");
          rest = lines.pop();
          for (const line of lines) {
            if (line.startsWith("data: !resumed")) resolve();
            else if (line.includes('"shout"')) this.heard += 1;
          }
        });
        // Whoever is closed by the test is no error.
        response.on("error", () => {});
      });
      this.#request.once("error", reject).end(`!resume ${token} 0 120000`);
    });
  }

  close() {
    this.#request.destroy();
  }
}

const urlOf = (node, path) => `http://${node.address}/socket/${path}?lapwing=1&vsn=2.0.0`;

async function post(node, path, body) {
  const answer = await fetch(urlOf(node, path), { method: "POST", body });
  return (await answer.text()).split("\n");
}
