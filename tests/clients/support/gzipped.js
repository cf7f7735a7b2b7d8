// What a client of event streams and polls says to the testbed, and gets back.

/**
 * Joins a room, asks for each payload to come back and for each to be broadcast, all at once. Returns what came that was not what was
 * said. `transport` has a WebSocket's shape. It needs nothing from outside, so that it can run in a page.
 */
export function exchangeBy(Socket, transport, url, topic, payloads) {
  return new Promise((resolve, reject) => {
    const socket = new Socket(url, { transport, timeout: 30_000 });
    const wrong = [];
    const said = payloads.slice();
    let left = 2 * payloads.length;
    const compare = (what, got, payload) => {
      if (JSON.stringify(got) !== JSON.stringify(payload)) wrong.push(`${what}: ${JSON.stringify(got).slice(0, 200)}`);
      left -= 1;
      if (left === 0) socket.disconnect(() => resolve(wrong));
    };
    const channel = socket.channel(topic, {});
    channel.on("shout", (payload) => compare("broadcast", payload, said.shift()));
    socket.connect();
    channel.join().receive("error", reject).receive("timeout", () => reject(new Error("the join was not answered")));
    for (const payload of payloads) {
      channel
        .push("ping", payload)
        .receive("ok", (response) => compare("reply", response, payload))
        .receive("timeout", () => reject(new Error(`a push was not answered, and ${left} messages are missing`)));
      channel.push("shout", payload);
    }
  });
}
