// The types: a page that uses all of them compiles, its planted mistakes do not, and what they say of phoenix.js is there.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const pathOf = (path) => fileURLToPath(new URL(path, import.meta.url));
const compiler = pathOf("../../node_modules/typescript/bin/tsc");
const VERSIONS = ["1.7.21", "1.8.1", "1.8.12", "1.8.16"];

test("a page in TypeScript compiles, and its mistakes are found", async () => {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [compiler, "--project", pathOf("types")]).catch((error) => error);
  assert.equal(stdout + stderr, "");
});

for (const version of VERSIONS) {
  test(`phoenix.js ${version} has the classes that are typed, with their members`, async () => {
    const phoenix = await import(`../../node_modules/phoenix-${version}/priv/static/phoenix.mjs`);
    const socket = new phoenix.Socket("ws://127.0.0.1/socket", { transport: class {} });
    socket.connect();
    const channel = socket.channel("room:1");
    const presence = new phoenix.Presence(channel);
    const instances = { Socket: socket, Channel: channel, Push: channel.joinPush, Presence: presence };
    const types = readFileSync(pathOf("../phoenix.d.ts"), "utf8");
    let count = 0;
    for (const [, kind, name, body] of types.matchAll(/^ {2}(export class|interface) (\w+)[^{]*\{([^]*?)^ {2}\}/gm)) {
      if (kind === "export class") assert.equal(typeof phoenix[name], "function", name);
      const instance = instances[name];
      if (!instance) continue;
      for (const [, member, after] of body.matchAll(/^ {4}(?:readonly )?(\w+)([<(:?])/gm)) {
        if (member === "constructor") continue;
        count += 1;
        assert.ok(member in instance, `${name}.${member}`);
        if (after === "(" || after === "<") assert.equal(typeof instance[member], "function", `${name}.${member}`);
      }
    }
    assert.ok(count > 25, `${count} members`);
  });
}
