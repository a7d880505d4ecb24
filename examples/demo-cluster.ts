/**
 * The cluster demo: nats-server, three nodes on Node.js, Bun and Deno, and clients on the three runtimes, which
 * connect through a load balancer. One node is killed; its client continues on another node. Every step is checked;
 * exit code 0 means that all checks passed.
 *
 *     pnpm demo --cluster
 */

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { check, timed, waitFor } from "./lib/demo-checks.ts";
import { arrow, entry, fact, opening, step } from "./lib/demo-output.ts";
import { perform, type Stage } from "./lib/demo-run.ts";
import { LoadBalancer } from "./lib/load-balancer.ts";
import { Program } from "./lib/program.ts";
import { findRuntime, RUNTIMES, TITLES } from "./lib/runtimes.ts";

const NODES = ["oslo", "rome", "lima"] as const;
const USERS = ["ada", "bob", "eve"] as const;
type User = (typeof USERS)[number];

/** Starts nats-server on a free port. Returns its URL. */
async function startNats(cleanUps: Stage["cleanUps"]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "netconduit-demo-"));
  const path = process.env["NATS_SERVER"] ?? "nats-server";
  const args = ["--addr", "127.0.0.1", "--port", "-1", "--jetstream", "--store_dir", folder];
  const nats = spawn(path, args, { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise<void>((resolve) => nats.once("close", () => resolve()));
  cleanUps.push(async () => {
    nats.kill();
    await ended;
    await rm(folder, { recursive: true, force: true });
  });
  const port = await waitFor(
    "nats-server",
    new Promise<string>((resolve, reject) => {
      nats.once("error", reject);
      createInterface({ input: nats.stderr }).on("line", (line) => {
        const match = /Listening for client connections on .*:(\d+)/.exec(line);
        if (match?.[1] !== undefined) resolve(match[1]);
      });
    }),
  );
  entry("nats-server", `port ${port} (process ${nats.pid})`);
  return `nats://127.0.0.1:${port}`;
}

/** Starts a node on each runtime, and waits until each has seen the others join. */
async function startNodes(natsUrl: string, { programs }: Stage): Promise<{ nodes: Program[]; ports: number[] }> {
  const nodes = NODES.map((name, index) => {
    const runtime = RUNTIMES[index] ?? "node";
    const env = { NODE: name, NATS_URL: natsUrl, PORT: "0" };
    const program = new Program("many-nodes/node.ts", { runtime, env });
    programs.set(`The node ${name}`, program);
    return program;
  });
  const ports: number[] = [];
  for (const [index, node] of nodes.entries()) {
    const name = NODES[index] ?? "";
    const [, port = ""] = await waitFor(`the node ${name}`, node.line(/^Listening on 127\.0\.0\.1:(\d+)$/));
    ports.push(Number(port));
    entry(name, `${TITLES[RUNTIMES[index] ?? "node"]}, port ${port} (process ${node.pid})`);
  }
  for (const [index, node] of nodes.entries()) {
    for (const other of NODES.filter((name) => name !== NODES[index])) {
      await waitFor(`${other} in the cluster of ${NODES[index]}`, node.line(new RegExp(`^${other} joined$`)));
    }
  }
  return { nodes, ports };
}

async function run(stage: Stage): Promise<void> {
  const missing = RUNTIMES.filter((runtime) => findRuntime(runtime) === null);
  if (missing.length > 0)
    throw new Error(`Not on the PATH: ${missing.join(", ")}. Run this as \`pnpm demo --cluster\`.`);
  opening("netconduit on three nodes, connected through NATS; each node runs on a different runtime");
  const natsUrl = await startNats(stage.cleanUps);
  const { nodes, ports } = await startNodes(natsUrl, stage);
  const balancer = new LoadBalancer(ports);
  stage.cleanUps.push(() => balancer.stop());
  const port = await balancer.start();
  entry("load balancer", `port ${port}, for the clients`);

  step("Clients on three runtimes connect, each to a different node");
  const clients = new Map<User, Program>();
  const expectLine = async (to: User, text: string): Promise<void> => {
    await waitFor(`"${text}" at ${to}`, program(to).line(new RegExp(`^${text}$`)));
  };
  const program = (user: User): Program => clients.get(user) as Program;
  for (const [index, user] of USERS.entries()) {
    const options = { runtime: RUNTIMES[index] ?? "node", args: [user, "kitchen"], env: { PORT: String(port) } };
    const client = new Program("many-nodes/client.ts", options);
    stage.programs.set(`The client ${user}`, client);
    clients.set(user, client);
    const [, node = ""] = await waitFor(`the login of ${user}`, client.line(/^at (.+)$/));
    check(`The node of ${user}`, node, NODES[index]);
    arrow(user, node, "log in", `on ${TITLES[options.runtime]}`);
  }

  step("Everyone sees who is in the room, on any node");
  for (const user of USERS) {
    await expectLine(user, "here: ada, bob, eve");
    arrow("cluster", user, "presence", ["ada", "bob", "eve"]);
  }

  step("Everyone receives every message, in the same order");
  program("ada").type("say Is anyone hungry?");
  for (const user of USERS) await expectLine(user, "ada: Is anyone hungry\\?");
  program("eve").type("say I am.");
  for (const user of USERS) {
    await expectLine(user, "eve: I am\\.");
    const lines = program(user)
      .output.split("\n")
      .filter((line) => /^(ada|eve): /.test(line));
    check(`Messages received by ${user}`, lines, ["ada: Is anyone hungry?", "eve: I am."]);
    arrow("cluster", user, "room:kitchen", lines.join("  "));
  }

  step("An order is executed once, by the node that receives it");
  program("ada").type("order k1 pizza");
  await expectLine("ada", "answer to k1: pizza, by oslo");
  arrow("ada", "oslo", "order", { key: "k1", item: "pizza" });
  arrow("oslo", "ada", "answer", "pizza, by oslo");

  step("The node oslo is killed, and bob keeps talking");
  const [oslo] = nodes;
  await oslo?.kill();
  program("bob").type("say Ada, are you still there?");
  await expectLine("eve", "bob: Ada, are you still there\\?");
  arrow("bob", "cluster", "room:kitchen", "Ada, are you still there?");
  const { value: moved, ms } = await timed(() => waitFor("the new node of ada", program("ada").line(/^at (.+)$/, 2)));
  check("Ada's new node is a different one", moved[1] !== "oslo", true);
  arrow("ada", String(moved[1]), "log in", "her client has moved automatically", ms);

  step("Nothing is lost: the subscription, the message sent during the reconnect, and the order's answer");
  await expectLine("ada", "subscribed again: recovered true");
  await expectLine("ada", "bob: Ada, are you still there\\?");
  const received = program("ada").output.split("\n");
  check("Messages received by ada", received.filter((line) => /^(ada|bob|eve): /.test(line)).length, 3);
  arrow("cluster", "ada", "room:kitchen", "Ada, are you still there?");
  program("ada").type("order k1 pizza");
  await waitFor("the same answer", program("ada").line(/^answer to k1: pizza, by oslo$/, 2));
  arrow("ada", String(moved[1]), "order", { key: "k1", item: "pizza" });
  arrow(String(moved[1]), "ada", "answer", "pizza, by oslo");
  fact("the same key again: answered from the store, not executed again");
  check("Orders executed", nodes.filter(({ output }) => output.includes("executed: pizza")).length, 1);
  for (const [index, node] of nodes.entries()) {
    if (index > 0) await waitFor("the end of oslo", node.line(/^oslo left: timeout$/));
  }
  fact("the other nodes have detected the loss of oslo");
  program("eve").type("say Dinner is ready.");
  for (const user of USERS) await expectLine(user, "eve: Dinner is ready\\.");
  arrow("eve", "cluster", "room:kitchen", "Dinner is ready.");
}

process.exitCode = await perform(run);
