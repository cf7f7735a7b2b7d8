// What a client is told to do to itself. It runs in Node and in pages.

const names = ["websocket", "sse", "longpoll"];

/** A move at random, which leaves the client with at least one transport: `forbidden` has those that it may not use. */
export function move(client, random, forbidden) {
  const name = random.pick(names);
  switch (random.below(8)) {
    case 0:
    case 1:
      return client.deed("cut");
    case 2:
      if (forbidden.size === names.length - 1) return;
      forbidden.add(name);
      return client.deed("forbid", name);
    case 3:
      forbidden.delete(name);
      return client.deed("allow", name);
    default:
      return client.deed("switchTo", random.pick(names.filter((other) => other !== client.status().transport)));
  }
}

/** Lets the client do as it likes again. */
export function release(client, forbidden) {
  for (const name of forbidden) client.deed("allow", name);
  client.deed("switchTo");
}
