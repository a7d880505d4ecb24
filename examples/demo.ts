/**
 * The demo on one runtime: starts the complete example's server in a separate process, connects several clients, and
 * shows the messages and calls between them. Every result is checked; exit code 0 means that all checks passed.
 *
 *     pnpm demo --runtime node
 */

import { isDeepStrictEqual } from "node:util";
import { Client, type CloseReason, ConduitError, type Disposer, ErrorCode, errorCodeName } from "@netconduit/node";
import * as v from "valibot";
import { check, Mismatch, timed, waitFor } from "./lib/demo-checks.ts";
import { arrow, fact, opening, step } from "./lib/demo-output.ts";
import { perform } from "./lib/demo-run.ts";
import { Program } from "./lib/program.ts";
import { findRuntime, TITLES, thisRuntime } from "./lib/runtimes.ts";

const PASSWORD = "secret123";
const CALLS = 500;

const Joined = v.object({ id: v.string() });
const Chat = v.object({ from: v.string(), message: v.string(), timestamp: v.number() });
const Stats = v.object({ clients: v.number(), uptime: v.number() });
const FieldErrors = v.object({
  errors: v.array(v.object({ field: v.string(), message: v.string(), code: v.number() })),
});

/** The next message of a type. */
function next<T>(client: Client, type: string, schema: v.GenericSchema<unknown, T>): Promise<T> {
  const received = new Promise<T>((resolve) => {
    const remove: Disposer = client.on(type, schema, (data) => {
      remove();
      resolve(data);
    });
  });
  return waitFor(`the message ${type} to ${client.config.name}`, received);
}

/** Runs `work`, which must fail, and returns its error. */
async function failure(what: string, work: () => Promise<unknown>): Promise<{ error: ConduitError; ms: number }> {
  const startedAt = performance.now();
  try {
    await work();
  } catch (error) {
    if (error instanceof ConduitError) return { error, ms: performance.now() - startedAt };
    throw error;
  }
  throw new Mismatch(`${what} should have failed`);
}

async function callFails(client: Client, params: Record<string, unknown>, method = "calculate"): Promise<ConduitError> {
  const { name } = client.config;
  const { error, ms } = await failure(`${method} of ${name}`, () => client.call(method, params));
  arrow(name, "server", `${method}`, params);
  arrow("server", name, `error ${error.code}`, error.message, ms);
  return error;
}

/** @param clients receives every client created, so that the caller can disconnect them. */
async function run(server: Program, clients: Client[]): Promise<void> {
  const [, host = "", port = ""] = await waitFor("the server's address", server.line(/^Listening on (.+):(\d+)$/));
  const runtime = thisRuntime();
  opening(
    `netconduit on ${TITLES[runtime]} ${findRuntime(runtime)?.version}: a server (process ${server.pid}) on ${host}:${port}, clients in this one`,
  );
  const clientOf = (name: string, password = PASSWORD): Client => {
    const client = new Client({ host, port: Number(port), name, password, reconnect: { enabled: false } });
    clients.push(client);
    return client;
  };
  const [ada, grace, linus] = [clientOf("Ada"), clientOf("Grace"), clientOf("Linus")];

  step("Clients log in; broadcasts announce each new client");
  const ids = new Map<Client, string>();
  for (const [client, others] of [
    [ada, []],
    [grace, [ada]],
    [linus, [ada, grace]],
  ] as const) {
    const announcements = others.map((other) => next(other, "user_join", Joined));
    const { ms } = await timed(() => client.connect());
    arrow(client.config.name, "server", "log in", "SCRAM-SHA-256: the password itself is never sent", ms);
    for (const [index, { id }] of (await Promise.all(announcements)).entries()) {
      arrow("server", others[index]?.config.name ?? "", "user_join", { id });
      check("The id of the new client", id, ids.get(client) ?? id);
      ids.set(client, id);
    }
  }
  check("The server's name and version", `${ada.serverInfo?.name} ${ada.serverInfo?.version}`, "ExampleServer 1.0.0");
  const mallory = clientOf("Mallory", "guess");
  const refused = await failure("The login with a wrong password", () => mallory.connect());
  arrow("Mallory", "server", "log in", "with a wrong password");
  arrow("server", "Mallory", `error ${refused.error.code}`, refused.error.message, refused.ms);
  check("The code of a wrong password", errorCodeName(refused.error.code), "AUTH_FAILED");

  step("A message and its reply");
  const ping = await timed(() => ada.request<{ pong: boolean; time: number }>("ping"));
  arrow("Ada", "server", "ping", {});
  arrow("server", "Ada", "reply", ping.value, ping.ms);
  check("The reply to ping", ping.value.pong, true);
  check("The type of the time in it", typeof ping.value.time, "number");

  step("Grace sends a chat message: she gets a reply, everyone else a broadcast");
  let echoes = 0;
  const noEcho = grace.on("chat", () => {
    echoes += 1;
  });
  const received = [ada, linus].map((client) => next(client, "chat", Chat));
  const message = "Hello, 世界! 👋";
  const sent = await timed(() => grace.request("chat", { message }));
  arrow("Grace", "server", "chat", { message });
  arrow("server", "Grace", "reply", sent.value, sent.ms);
  check("The reply to chat", sent.value, { sent: true });
  for (const [index, { from, message: text }] of (await Promise.all(received)).entries()) {
    arrow("server", index === 0 ? "Ada" : "Linus", "chat", { from, message: text });
    check("The message received", text, message);
    check("The sender of the message", from, ids.get(grace));
  }
  await grace.request("ping");
  noEcho();
  check("The number of messages echoed to their sender", echoes, 0);

  step("Calls");
  for (const [client, a, operation, b, result] of [
    [ada, 6, "multiply", 7, 42],
    [grace, 1, "divide", 8, 0.125],
    [linus, 2 ** 40, "subtract", 1, 1_099_511_627_775],
  ] as const) {
    const call = await timed(() => client.call("calculate", { a, b, operation }));
    arrow(client.config.name, "server", "calculate", { a, b, operation });
    arrow("server", client.config.name, "result", call.value, call.ms);
    check(`The result of ${a} ${operation} ${b}`, call.value, { result });
  }
  const stats = await timed(() => ada.call("get_stats", {}, { result: Stats }));
  arrow("Ada", "server", "get_stats", {});
  arrow("server", "Ada", "result", stats.value, stats.ms);
  check("The number of clients", stats.value.clients, 3);
  const methods = await timed(() => ada.discover());
  const names = methods.value.map(({ name }) => name).sort();
  arrow("Ada", "server", "discover", "list the methods");
  arrow("server", "Ada", "methods", names.join(", "), methods.ms);
  check("The methods", names, ["calculate", "get_stats"]);
  const many = await timed(() =>
    Promise.all(Array.from({ length: CALLS }, (_, a) => linus.call("calculate", { a, b: 1, operation: "add" }))),
  );
  arrow("Linus", "server", "calculate", `${CALLS} times in parallel`);
  arrow("server", "Linus", "results", `${CALLS} results, each matched to its call`, many.ms);
  const wrong = many.value.filter((answer, a) => !isDeepStrictEqual(answer, { result: a + 1 }));
  check(`The wrong results among ${CALLS}`, wrong, []);

  step("Errors have a code and details");
  const invalid = await callFails(ada, { a: "two", operation: "add" });
  const { errors } = v.parse(FieldErrors, invalid.details);
  for (const { field, code, message: text } of errors) fact(`${field}: ${text} (${errorCodeName(code)})`);
  check("The code", errorCodeName(invalid.code), "VALIDATION");
  check(
    "The codes of the fields",
    errors.map(({ field, code }) => [field, code]),
    [
      ["a", ErrorCode.INVALID_TYPE],
      ["b", ErrorCode.MISSING_FIELD],
    ],
  );
  const unknown = await callFails(grace, { a: 1, b: 2, operation: "modulo" });
  check("The code and details", [unknown.code, unknown.details], [ErrorCode.VALIDATION, { field: "operation" }]);
  check(
    "The code of the application's own error",
    (await callFails(linus, { a: 1, b: 0, operation: "divide" })).code,
    400,
  );
  check("The code", (await callFails(ada, {}, "no_such_method")).code, ErrorCode.METHOD_NOT_FOUND);

  step("A client leaves, then the server stops gracefully");
  const left = next(ada, "user_leave", Joined);
  const leaving = await timed(() => grace.disconnect());
  arrow("Grace", "server", "close", "after flushing its queue", leaving.ms);
  const { id } = await left;
  arrow("server", "Ada", "user_leave", { id });
  check("The id of the client that left", id, ids.get(grace));
  const goodbyes = [ada, linus].map((client) =>
    waitFor(
      "the server's close",
      new Promise<CloseReason>((resolve) => client.onDisconnect((_, reason) => resolve(reason))),
    ),
  );
  const stopped = await timed(() => waitFor("the server's exit", server.stop("SIGTERM")));
  arrow("demo", "server", "SIGTERM", "finish running handlers, tell the clients, exit");
  for (const [index, { code, message: text, byPeer }] of (await Promise.all(goodbyes)).entries()) {
    arrow("server", index === 0 ? "Ada" : "Linus", "close", text);
    check("The reason told to clients", [errorCodeName(code), byPeer], ["SERVER_STOPPING", true]);
  }
  fact(`the server process exited with code ${stopped.value.code}`, stopped.ms);
  check("The server's exit", stopped.value, { code: 0, signal: null });
  check("The server's last line", server.output.split("\n").includes("Shutting down. Goodbye!"), true);
}

process.exitCode = await perform((stage) => {
  const clients: Client[] = [];
  stage.cleanUps.push(() => Promise.all(clients.map((client) => client.disconnect())));
  const server = new Program("complete/server.ts", {
    env: { HOST: "127.0.0.1", PORT: "0", PASSWORD, NETCONDUIT: "0" },
  });
  stage.programs.set("The server", server);
  return run(server, clients);
});
