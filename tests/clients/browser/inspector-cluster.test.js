// The inspector of a node of a cluster: the others, what ends on all of them, and what a topic remembers whose members are elsewhere.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { connect } from "../../cluster/support/client.js";
import { startCluster } from "../../cluster/support/cluster.js";
import { launchChromium } from "../engines/chromium.js";
import { axeFaults } from "../support/axe.js";
import { root } from "../support/testbed.js";
import { until } from "../support/wait.js";

const KEY = "a key that is long enough";

describe("the inspector of three nodes", { timeout: 300_000 }, () => {
  let cluster, browser, page, clients;

  before(async () => {
    mkdirSync(join(root, "tests/output"), { recursive: true });
    cluster = await startCluster("redis", 3, { env: { INSPECT_KEY: KEY } });
    clients = await Promise.all(cluster.nodes.map((node) => connect(node, { user: "ada" })));
    for (const client of clients) await client.join("room:1");
    // On the last node alone.
    await clients[2].join("kept:news");
    await clients[2].ask("kept:news", "ping");
    clients[2].say("kept:news", "shout", { text: "nobody's business" });
    browser = await launchChromium();
    const context = await browser.newContext({ httpCredentials: { username: "anybody", password: KEY }, bypassCSP: true });
    page = await context.newPage();
  });

  after(async () => {
    await browser?.close();
    for (const client of clients ?? []) client.close();
    await cluster?.stop();
  });

  const visit = (hash) => page.goto(`http://${cluster.nodes[0].address}/inspect#/${hash}`);

  it("shows the nodes and the engine", async () => {
    await visit("");
    for (const row of ["node-1 (this one)", "node-2", "node-3"]) {
      await page.locator("tr", { hasText: row }).getByText("up", { exact: true }).waitFor();
    }
    await page.getByText("connected", { exact: true }).waitFor();
    assert.deepEqual(await axeFaults(page), []);
    await page.screenshot({ path: join(root, "tests/output/inspector-cluster.png"), fullPage: true });
  });

  it("shows what a topic remembers of which nobody here is a member", async () => {
    await until("it is kept", async () => {
      await visit("topic/kept%3Anews");
      await page.reload();
      await page.locator("main h2", { hasText: "kept:news" }).waitFor();
      return (await page.locator("td", { hasText: "shout" }).count()) === 1;
    });
    await page.locator("dl div", { hasText: "Joins here" }).getByText("0", { exact: true }).waitFor();
    await page.locator("dl div", { hasText: "Joins on all nodes" }).getByText("1", { exact: true }).waitFor();
    assert.ok(!(await page.content()).includes("nobody's business"));
  });

  it("disconnects a user on all nodes", async () => {
    await visit("sessions");
    await page.getByText("1 found", { exact: true }).waitFor();
    await page.locator("td a").first().click();
    await page.getByRole("button", { name: "Disconnect this user" }).click();
    await page.getByRole("button", { name: "Yes" }).click();
    await page.getByText("3 ended.").waitFor();
    for (const client of clients) await until("it is closed", () => client.closed);
  });

  it("says that a node and an engine are gone", async () => {
    await cluster.remove(cluster.nodes[2]);
    await cluster.engine.kill();
    await visit("");
    await page.locator("dl div", { hasText: "Engine" }).getByText("away").waitFor();
  });
});
