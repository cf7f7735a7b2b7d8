// What makes socket.io a node of a cluster on a Redis, as its documentation shows it.
import { createShardedAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";

/** `kind` is `sharded` or `streams`. */
export async function adapterOf(engine, kind) {
  const client = await connected(createClient({ url: engine }));
  if (kind === "streams") return createStreamsAdapter(client);
  return createShardedAdapter(client, await connected(client.duplicate()));
}

async function connected(client) {
  // Without this a connection that ends would end the process.
  client.on("error", () => {});
  await client.connect();
  return client;
}
