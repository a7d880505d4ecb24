import { type Connection, type Contract, ErrorCode, type ForClient, forClient } from "@netconduit/core";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { failureOf, thrownBy } from "../support/failures.ts";
import type { Subject } from "../support/subject.ts";
import { PASSWORD, PATIENT, type Stage, stagedOn } from "./stage.ts";

const fleet = {
  server: {
    methods: { report: { result: v.string() }, record: {} },
    messages: { sample: v.number(), note: v.string() },
  },
  client: { methods: { ping: { result: v.string() } }, messages: { news: v.string() } },
  clients: {
    device: {
      methods: { record: { params: v.object({ seconds: v.number() }), result: v.string() } },
      streams: { log: { output: v.number() } },
      messages: { limit: v.number() },
    },
    operator: { messages: { alarm: v.string() } },
  },
} satisfies Contract;

const USERS = {
  pump: { password: "pump's", roles: ["device"] },
  ada: { password: "ada's", roles: ["operator"] },
};

/** Starts a server with a device, an operator and a client without a user, all with the contract. */
async function fleetOn(stage: Stage) {
  const options = { ...stage.serverOptions({}), users: USERS, contract: fleet };
  const server = stage.ownServer(options);
  await server.start();
  const device = stage.ownClient(server, {
    contract: forClient(fleet, "device"),
    username: "pump",
    password: USERS.pump.password,
  });
  device.implement({
    ping: () => "device",
    record: ({ seconds }) => `recorded ${seconds} s`,
    log: async function* () {
      yield* [1, 2];
    },
  });
  const operator = stage.ownClient(server, {
    contract: forClient(fleet, "operator"),
    username: "ada",
    password: USERS.ada.password,
  });
  operator.implement({ ping: () => "operator" });
  const guest = stage.ownClient(server, { contract: fleet, password: PASSWORD });
  guest.implement({ ping: () => "guest" });
  for (const client of [device, operator, guest]) await client.connect();
  return { server, device, operator, guest };
}

type Device = Connection<ForClient<typeof fleet, "device">>;

/** Several kinds of clients in one contract. */
export function describeClientKinds(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`kinds of clients on ${subject.name}`, PATIENT, () => {
    test(
      "a client is of the kinds that are roles of its user, and is called as one of them",
      staged(async (stage) => {
        const { server } = await fleetOn(stage);
        const seen: unknown[] = [];
        for (const connection of server.connections) {
          const answers: unknown[] = [await connection.call("ping")];
          if (connection.is("device")) {
            answers.push(await connection.call("record", { seconds: 3 }));
            for await (const line of connection.stream("log")) answers.push(line);
          }
          if (connection.is("operator")) answers.push(connection.send("alarm", "smoke"));
          seen.push(answers);
        }
        expect(seen).toEqual([["device", "recorded 3 s", 1, 2], ["operator", true], ["guest"]]);
      }),
    );

    test(
      "methods, streams and messages of another kind are refused with PEER_UNSUPPORTED, and nothing is sent",
      staged(async (stage) => {
        const { server } = await fleetOn(stage);
        for (const connection of server.connections.filter((one) => !one.is("device"))) {
          const sent = connection.stats.messagesSent;
          // As an untyped program might do.
          const any = connection as unknown as Device;
          const failures = [
            await failureOf(any.call("record", { seconds: 1 })),
            await failureOf(any.call("record", { seconds: 1 }, { once: "key" })),
            await failureOf(any.send("limit", 1, { ack: true })),
            await failureOf(any.request("limit", 1)),
            await failureOf(any.stream("log").next()),
            thrownBy(() => any.send("limit", 1)),
            thrownBy(() => any.callNoWait("record", { seconds: 1 })),
          ];
          expect(failures.map(({ code }) => code)).toEqual(failures.map(() => ErrorCode.PEER_UNSUPPORTED));
          expect(failures[0]).toMatchObject({ details: { kinds: ["device"] } });
          expect(connection.stats.messagesSent).toBe(sent);
        }
      }),
    );

    test(
      "the server's own send and calls by id or user respect kinds, too",
      staged(async (stage) => {
        const { server, device, operator } = await fleetOn(stage);
        const heard = new EventLog<string>();
        device.on("news", (text) => heard.add(`device news ${text}`));
        device.onUnknown((_client, type, text) => heard.add(`device ${type} ${String(text)}`));
        for (const type of ["alarm", "news"] as const) {
          operator.on(type, (text) => heard.add(`operator ${type} ${text}`));
        }
        const idOf = (name: string): string => server.connections.find(({ user }) => user.name === name)?.id ?? "";
        const peer = server.peer(idOf("pump"));
        const failures = [
          thrownBy(() => server.send(idOf("pump"), "alarm" as "news", "smoke")),
          thrownBy(() => peer.send("alarm" as "news", "smoke")),
          await failureOf(peer.request("alarm" as "news", "smoke")),
          await failureOf(server.peer(idOf("ada")).call("record" as "ping")),
          thrownBy(() => server.clients("device").broadcast("alarm" as "news", "smoke")),
        ];
        expect(failures.map(({ code }) => code)).toEqual(failures.map(() => ErrorCode.PEER_UNSUPPORTED));
        expect(server.send({ user: "pump" }, "alarm" as "news", "smoke")).toBe(0);
        expect(server.send({ user: "ada" }, "alarm" as "news", "fire")).toBe(1);
        expect(server.send(idOf("ada"), "alarm" as "news", "water")).toBe(1);
        expect(server.send(idOf("pump"), "news", "end")).toBe(1);
        expect([...(await heard.count(3))].sort()).toEqual([
          "device news end",
          "operator alarm fire",
          "operator alarm water",
        ]);
      }),
    );

    test(
      "results of a kind's methods are validated",
      staged(async (stage) => {
        const server = stage.ownServer({ ...stage.serverOptions({}), users: USERS, contract: fleet });
        await server.start();
        const device = await stage.join(server, { username: "pump", password: USERS.pump.password });
        device.rpc("record", () => 7);
        const [connection] = server.clients("device").connections;
        const failure = await failureOf(connection?.call("record", { seconds: 1 }) ?? Promise.resolve());
        expect(failure.code).toBe(ErrorCode.INVALID_RESULT);
      }),
    );

    test(
      "handlers for one kind refuse the others with PERMISSION_DENIED, and the server is notified",
      staged(async (stage) => {
        const { server, device, operator } = await fleetOn(stage);
        const denied: string[] = [];
        server.onDenied(({ user }, { name }) => denied.push(`${user.name} ${name}`));
        server.clients("operator").rpc("report", (_params, { client }) => `for ${client.user.name}`);
        expect(await operator.call("report")).toBe("for ada");
        expect((await failureOf(device.call("report"))).code).toBe(ErrorCode.PERMISSION_DENIED);
        expect(denied).toEqual(["pump report"]);
      }),
    );

    test(
      "a type of messages has a handler for each kind, and is denied only to clients of no kind",
      staged(async (stage) => {
        const { server, device, operator, guest } = await fleetOn(stage);
        const denied: string[] = [];
        server.onDenied((_connection, { name }) => denied.push(name));
        server.clients("device").on("note", (client, text) => `${text} of the device ${client.user.name}`);
        server.clients("operator").on("note", (client, text) => `${text} of the operator ${client.user.name}`);
        expect(await device.request("note", "word")).toBe("word of the device pump");
        expect(await operator.request("note", "word")).toBe("word of the operator ada");
        expect(denied).toEqual([]);
        expect((await failureOf(guest.request("note", "word"))).code).toBe(ErrorCode.PERMISSION_DENIED);
        expect(denied).toEqual(["note"]);
      }),
    );

    test(
      "broadcasts to a kind reach its clients alone",
      staged(async (stage) => {
        const { server, device, operator, guest } = await fleetOn(stage);
        const heard = new EventLog<string>();
        device.on("limit", (mebibytes) => heard.add(`device ${mebibytes}`));
        for (const client of [device, operator, guest]) client.on("news", (text) => heard.add(text));
        const devices = server.clients("device");
        expect(devices.broadcast("limit", 5)).toBe(1);
        expect(devices.broadcast("news", "for devices")).toBe(1);
        expect(devices.broadcast("limit", 6, { where: () => false })).toBe(0);
        expect(devices.broadcast("limit", 7, { where: { user: "pump" } })).toBe(1);
        expect(devices.broadcast("limit", 8, { where: { user: "ada" } })).toBe(0);
        expect(await heard.count(3)).toEqual(["device 5", "for devices", "device 7"]);
        const refused = thrownBy(() => server.broadcast("limit" as "news", 9 as never));
        expect(refused.code).toBe(ErrorCode.PEER_UNSUPPORTED);
      }),
    );

    test(
      "a middleware for one kind runs around that kind's handlers alone",
      staged(async (stage) => {
        const { server, device } = await fleetOn(stage);
        const devices = server.clients("device").use((_context, next) => next({ tag: "tagged" }));
        devices.on("note", (_client, text, { tag }) => `${text} ${tag}`);
        server.rpc("report", (_params, context) => String("tag" in context));
        expect(await device.request("note", "one")).toBe("one tagged");
        expect(await device.call("report")).toBe("false");
      }),
    );

    test("a contract whose kinds contradict each other is refused with INVALID_CONFIG", () => {
      const { Server } = subject;
      const refused = (contract: Contract): string =>
        thrownBy(() => new Server({ password: PASSWORD, contract })).message;
      const ping = { result: v.string() };
      expect(refused({ client: { methods: { ping } }, clients: { device: { methods: { ping } } } })).toContain(
        "contract.clients.device.methods.ping of the server: must not be given: all clients have it, by contract.client.methods",
      );
      const other = { result: v.number() };
      const two = { device: { methods: { ping } }, operator: { methods: { ping: other } } };
      expect(refused({ clients: two })).toContain(
        "contract.clients.operator.methods.ping of the server: must be the same object as that of another kind",
      );
      expect(refused({ clients: { device: { method: {} } as never } })).toContain("contract.clients.device.method");
    });

    test("a kind that the contract doesn't have is refused with INVALID_CONFIG", () => {
      const failure = thrownBy(() => forClient(fleet, "devise" as "device"));
      expect(failure.code).toBe(ErrorCode.INVALID_CONFIG);
      expect(failure.message).toBe("The contract has no kind of clients 'devise' (did you mean 'device'?)");
    });
  });
}
