import { readFileSync } from "node:fs";
import { join } from "node:path";
import { natsCluster } from "@netconduit/nats";
import { Client, Server } from "@netconduit/node";
import { expect, test } from "vitest";
import { ROOT } from "../../scripts/lib/packages.ts";
import { describeScenes, type NatsScene } from "./scene.ts";
import { describeWithNats } from "./with-nats.ts";

const DOCUMENT = readFileSync(join(ROOT, "docs", "nats-permissions.md"), "utf8");
const CONFIG = /```text\n(accounts \{[\s\S]*?)```/.exec(DOCUMENT)![1]!;
const LINES = CONFIG.split("\n");
/** The lines with a subject: line number, list and subject. */
const SUBJECTS = LINES.flatMap((line, index) => {
  const subject = /^\s+"([^"]+)"$/.exec(line)?.[1];
  const list = LINES.slice(0, index)
    .findLast((before) => /^\s+(publish|subscribe) \{/.test(before))
    ?.trim();
  return subject === undefined ? [] : [{ index, list: list!.split(" ")[0]!, subject }];
});

const TIMEOUT_MS = 1500;
const LIMITS = { messages: 1000, bytes: 100_000_000, ageMs: 600_000 };

/** Performs all operations of nodes. Rejects if NATS doesn't permit one. */
async function exercise(scene: NatsScene, config: string): Promise<void> {
  const { url } = await scene.server({ config });
  const options = { servers: url, user: "fleet", pass: "change-me" };
  const [a, b] = [await scene.node("a", options), await scene.node("b", options)];
  for (const kind of ["all", "node", "topic", "user"] as const) {
    const address = { kind, name: kind === "all" ? "" : "x:1" };
    const heard = await b.listen(address);
    a.send(address, "hello");
    await heard.next();
  }
  const log = await a.link.logs!.open("chat", LIMITS, TIMEOUT_MS);
  // Enough for NATS to use flow control.
  const large = new Uint8Array(100_000);
  for (let index = 0; index < 60; index++) await log.append(`${index}`, large, TIMEOUT_MS);
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("the log isn't read")), 4 * TIMEOUT_MS);
    log.read(1000, {
      starts: () => undefined,
      entry(offset) {
        if (offset < 60) return;
        clearTimeout(timer);
        resolve();
      },
    });
  });
  await b.link.logs!.open("chat", { ...LIMITS, messages: 2000 }, TIMEOUT_MS);
  for (const name of ["short", "long"]) {
    const records = await a.link.records!.open(name, 60_000);
    await records.put("k.1", new Uint8Array([1]), 0);
    expect(await records.get("k.1")).not.toBeNull();
    expect(await records.keys("k.", 10)).toEqual(["k.1"]);
    await records.delete("k.1");
  }
}

await describeWithNats("permissions in NATS", (nats) => {
  describeScenes("the configuration of docs/nats-permissions.md", nats, (scene) => {
    test("allow everything a node does", () => exercise(scene(), CONFIG));

    test("let nodes call each other's clients, with outputs, inputs and progress", async () => {
      const { url } = await scene().server({ config: CONFIG });
      const login = { name: "fleet", servers: url, user: "fleet", pass: "change-me" };
      const errors: unknown[] = [];
      const start = async (nodeId: string): Promise<Server> => {
        const server = new Server({
          host: "127.0.0.1",
          port: 0,
          password: "right",
          cluster: natsCluster({ ...login, nodeId }),
        });
        server.onError((error) => errors.push(error));
        await server.start();
        return server;
      };
      await using a = await start("a");
      const met = new Promise((resolve) => a.cluster?.onNodeJoined(resolve));
      await using b = await start("b");
      await met;
      const { port } = b.address as { readonly port: number };
      await using client = new Client({ host: "127.0.0.1", port, password: "right" });
      client.stream({ name: "echo", input: true }, (_params, { input }) => input);
      client.rpc("work", (_params, context) => {
        context.progress("half");
        return "done";
      });
      await client.connect();
      const peer = a.peer(b.connections[0]?.id ?? "");
      const heard: unknown[] = [];
      for await (const item of peer.stream("echo", {}, { input: [1, 2] })) heard.push(item);
      expect(await peer.call("work", {}, { onProgress: (value) => heard.push(value) })).toBe("done");
      expect([heard, errors]).toEqual([[1, 2, "half"], []]);
    });

    test.for(SUBJECTS)("without $subject to $list, something fails", async ({ index }) => {
      const config = LINES.filter((_, line) => line !== index).join("\n");
      await expect(exercise(scene(), config)).rejects.toThrow();
    });
  });
});
