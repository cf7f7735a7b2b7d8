// Ten thousand messages in one turn, of a page to the server and of a callback to the page, in a real browser: all of them come, in order.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { launchChromium } from "../engines/chromium.js";
import { openPage } from "../support/page.js";
import { startTestbed } from "../support/testbed.js";

/** More frames than may wait, and more bytes. */
const FLOODS = [
  { name: "10,000 small messages", count: 10_000, bytes: 10 },
  { name: "30 messages of 600 KB", count: 30, bytes: 600_000 },
];

describe("floods, in Chromium", { timeout: 600_000 }, () => {
  let testbed, browser, page;

  before(async () => {
    testbed = await startTestbed();
    browser = await launchChromium();
    page = await openPage(browser, `http://${testbed.address}/health`);
  });

  after(async () => {
    await browser?.close();
    await testbed?.stop();
  });

  for (const { name, count, bytes } of FLOODS) {
    for (const transport of ["websocket", "sse", "longpoll", "stock websocket", "stock longpoll"]) {
      it(`${name} both ways, by ${transport}`, async () => {
        // phoenix.js makes one request of all that is said in a turn, and one of more than 8 MB is refused.
        const said = transport === "stock longpoll" ? Math.min(count, Math.floor(6_000_000 / bytes)) : count;
        const { down, up, ends, held } = await page.evaluate(flood, { transport, count, said, bytes });
        assert.deepEqual(ends, []);
        assert.deepEqual([down, up], [inOrder(count), inOrder(said)]);
        // Half of an outbox, and the one that was on its way.
        assert.ok(held.frames <= 4_096 / 2 + 1 && held.bytes <= 8 * 1024 * 1024 + bytes + 200, JSON.stringify(held));
      });
    }
  }

  it("no session was too slow", async () => {
    const { slow } = JSON.parse(await testbed.fetch("/stats"));
    assert.equal(slow.closed, 0);
  });
});

const inOrder = (count) => ({ count, misplaced: 0 });

/** In the page: what comes of so many messages each way, and what the server held meanwhile. */
async function flood({ transport, count, said, bytes }) {
  const { Socket, LongPoll } = await import("/client/node_modules/phoenix-1.8.16/priv/static/phoenix.mjs");
  const { Lapwing } = await import("/client/js/src/index.js");
  const stock = { "stock websocket": WebSocket, "stock longpoll": LongPoll }[transport];
  const socket = new Socket("/socket", {
    transport: stock ?? Lapwing.with({ transports: [transport], storage: null }),
    timeout: 300_000,
  });
  const ends = [];
  const ended = new Promise((resolve) => socket.onClose(({ code, reason }) => resolve(ends.push(`${code} ${reason}`))));
  socket.connect();
  const channel = socket.channel(`room:flood-${transport}-${count}`);
  const answered = (push) =>
    Promise.race([ended, new Promise((resolve, reject) => push.receive("ok", resolve).receive("error", reject).receive("timeout", reject))]);
  await answered(channel.join());

  const counter = () => ({ count: 0, misplaced: 0 });
  const take = (counted, number) => {
    counted.misplaced += Number(number !== counted.count);
    counted.count += 1;
  };
  const [down, up] = [counter(), counter()];
  channel.on("row", ({ row }) => take(down, row));
  const held = await answered(channel.push("rows", { rows: count, bytes }));

  const text = "x".repeat(bytes);
  const pushes = Array.from({ length: said }, (_, n) => answered(channel.push("ping", { n, text })).then((reply) => take(up, reply?.n)));
  await Promise.all(pushes);
  const seen = [...ends];
  socket.disconnect();
  return { down, up, ends: seen, held };
}
