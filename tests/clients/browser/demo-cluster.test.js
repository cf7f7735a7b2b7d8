// The demo on three nodes: two people on different ones, one of which dies.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { launchChromium } from "../engines/chromium.js";
import { freePort } from "../support/ports.js";
import { programOf, root } from "../support/testbed.js";
import { pause, until, within } from "../support/wait.js";

const output = join(root, "tests/output");

/** More than as many people as it takes until two of three nodes have one. */
const TRIES = 40;

describe("the demo on three nodes", { timeout: 180_000 }, () => {
  let demo, browser, ann, ben;

  before(async () => {
    mkdirSync(output, { recursive: true });
    demo = await startDemoCluster();
    browser = await launchChromium();
    ann = await open("Ann");
    ben = await open("Ben");
    for (let n = 0; (await nodeOf(ann)) === (await nodeOf(ben)) && n < TRIES; n += 1) {
      // Another page has another session, and goes where the balancer says.
      await ben.reload();
    }
    assert.notEqual(await nodeOf(ann), await nodeOf(ben));
  });

  after(async () => {
    await browser?.close();
    await demo?.stop();
  });

  it("shows who is present on all of them, and where", async () => {
    for (const page of [ann, ben]) {
      for (const [name, other] of [["Ann", ann], ["Ben", ben]]) {
        await personOn(page, name).filter({ hasText: await nodeOf(other) }).waitFor();
      }
    }
  });

  it("carries what is said from one to the other", async () => {
    for (const [from, to, text] of [[ann, ben, "Hello from one node"], [ben, ann, "and from another"]]) {
      await say(from, text);
      await to.locator(".text", { hasText: text }).waitFor();
    }
    await ann.screenshot({ path: join(output, "demo-cluster.png") });
  });

  it("says by which node the connection comes", async () => {
    const carrier = ann.locator("#carrier");
    await until("another node carries it", async () => {
      await ann.locator("#cut").click();
      await pause(500);
      return carrier.textContent();
    });
    assert.match(await carrier.textContent(), /^by way of node-[123]$/);
    assert.ok(!(await carrier.textContent()).endsWith(await nodeOf(ann)));
    await ann.screenshot({ path: join(output, "demo-cluster-carried.png") });
  });

  it("looks right on a phone, and with both sides in one page", async () => {
    await ben.setViewportSize({ width: 390, height: 844 });
    await ben.screenshot({ path: join(output, "demo-cluster-phone.png") });
    assert.equal(await ben.evaluate("document.documentElement.scrollWidth"), 390, "nothing sticks out");
    await ben.setViewportSize({ width: 1100, height: 700 });
    const both = await ben.context().newPage();
    await both.goto(`http://localhost:${demo.port}/#both`);
    await both.locator("#other-node", { hasText: /on node-\d/ }).waitFor();
    await both.screenshot({ path: join(output, "demo-cluster-both.png") });
    await both.close();
  });

  it("takes those whose node starts anew to another one, and they do not notice", async () => {
    const node = await nodeOf(ann);
    await ann.locator("#restart").click();
    await until("Ann is on another node", async () => ![node, ""].includes(await nodeOf(ann)));
    await say(ann, "Is it back?");
    await ben.locator(".text", { hasText: "Is it back?" }).waitFor();
    assert.equal(await ben.getByText("Ann left").count(), 0, "Ben sees nobody leave");
    await ann.screenshot({ path: join(output, "demo-cluster-moved.png") });
  });

  it("moves those whose node is killed to another one", async () => {
    const node = await nodeOf(ann);
    process.kill(demo.pids.get(node), "SIGKILL");
    await until("Ann is on another node", async () => ![node, ""].includes(await nodeOf(ann)));
    await say(ann, "I am still here");
    await ben.locator(".text", { hasText: "I am still here" }).waitFor();
    await say(ben, "So you are");
    await ann.locator(".text", { hasText: "So you are" }).waitFor();
    // What was said before is there as well, though it was kept on a node that is gone.
    assert.deepEqual(await ann.locator(".text").allTextContents(), ["Hello from one node", "and from another", "Is it back?", "I am still here", "So you are"]);
    const now = await nodeOf(ann);
    await personOn(ben, "Ann").filter({ hasText: now }).waitFor();
    await until("Ann is on the dead node for nobody", async () => !(await personOn(ben, "Ann").textContent()).includes(node));
  });

  async function open(name) {
    const context = await browser.newContext({ viewport: { width: 1100, height: 700 } });
    context.setDefaultTimeout(30_000);
    const me = JSON.stringify({ user: `user-${name}`, name, color: "#0f766e" });
    await context.addInitScript((me) => localStorage.setItem("lapwing:me", me), me);
    const page = await context.newPage();
    await page.goto(`http://localhost:${demo.port}/?one#lobby`);
    return page;
  }
});

async function nodeOf(page) {
  await page.locator("#people li").first().waitFor();
  return page.locator("#node").textContent();
}

const personOn = (page, name) =>
  page.locator("#people li").filter({ has: page.locator(".name", { hasText: new RegExp(`^${name}$`) }) });

async function say(page, text) {
  await page.locator("#text").fill(text);
  await page.locator("#text").press("Enter");
}

/** Runs the script with the program that was built with the tests: with others of its features it would take minutes. */
async function startDemoCluster() {
  const port = await freePort();
  const env = { ...process.env, PORT: String(port), DEMO: programOf("demo", "cargo build --workspace --bins") };
  const child = spawn(join(root, "scripts/demo-cluster"), { env, stdio: ["ignore", "pipe", "pipe"] });
  process.once("exit", () => child.kill());
  const over = new Promise((resolve) => child.once("close", resolve));
  let [out, log] = ["", ""];
  child.stdout.on("data", (text) => (out += text));
  child.stderr.on("data", (text) => (log = (log + text).slice(-5_000)));
  const listens = async () => {
    if (child.exitCode !== null) throw new Error(`scripts/demo-cluster ended with ${child.exitCode}: ${log}`);
    const answer = await fetch(`http://localhost:${port}/`).catch(() => ({}));
    return answer.ok;
  };
  await until("the balancer serves the page", listens, 120_000);
  const pids = new Map([...out.matchAll(/(node-\d): process (\d+)/g)].map(([, name, pid]) => [name, Number(pid)]));
  return {
    port,
    pids,
    async stop() {
      child.kill();
      await within("the end of scripts/demo-cluster", over);
    },
  };
}
