import * as v from "valibot";
import { describe, expect, test } from "vitest";
import type { Client } from "../client/client.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { type FakeRuntime, fakeRuntime } from "../test-support/fake-runtime.ts";
import { testClient, testServer } from "../test-support/peers.ts";
import { Server, type ServerInit } from "./server.ts";

const users = {
  ada: { password: "lovelace", roles: ["admin"] },
  bob: { password: "builder", roles: ["operator", "guest"] },
};
const DENIED = { code: ErrorCode.PERMISSION_DENIED };

async function joined(runtime: FakeRuntime, username: "ada" | "bob"): Promise<Client> {
  const { client } = testClient(runtime, { username, password: users[username].password });
  await client.connect();
  return client;
}

async function scene(prepare: (server: Server) => void, options: Partial<ServerInit> = {}) {
  const runtime = fakeRuntime();
  const denials: unknown[] = [];
  await testServer(runtime, { users, ...options }, (server) => {
    server.onDenied(({ user }, denial) => denials.push([user.name, denial]));
    prepare(server);
  });
  const nobody = testClient(runtime).client;
  await nobody.connect();
  return { denials, ada: await joined(runtime, "ada"), bob: await joined(runtime, "bob"), nobody, runtime };
}

test("groups of one kind's handlers have its role, and middleware that is added to one later isn't the other's", async () => {
  const contract = { server: { methods: { first: {}, second: {} } }, clients: { admin: {}, operator: {} } };
  const passed: unknown[] = [];
  const { ada, bob } = await scene(
    (server) => {
      const outer = (server as unknown as Server<typeof contract>).clients("admin").group();
      const inner = outer.group();
      outer.use(({ method }, next) => {
        passed.push(method);
        return next();
      });
      outer.rpc("first", () => 1);
      inner.rpc("second", () => 2);
    },
    { contract },
  );
  expect([await ada.call("first"), await ada.call("second")]).toEqual([1, 2]);
  expect(passed).toEqual(["first"]);
  await expect(bob.call("first")).rejects.toMatchObject(DENIED);
  await expect(bob.call("second")).rejects.toMatchObject(DENIED);
});

describe("a method with roles", () => {
  test("answers users who have one of them, and refuses the others before it looks at their parameters", async () => {
    const params = v.object({ n: v.number() });
    const { ada, bob, nobody, denials } = await scene((server) => {
      server.rpc({ name: "purge", params, roles: ["admin", "root"] }, ({ n }) => n);
    });
    await expect(ada.call("purge", { n: 1 })).resolves.toBe(1);
    await expect(bob.call("purge", { n: "no number" })).rejects.toMatchObject(DENIED);
    await expect(nobody.call("purge", { n: 1 })).rejects.toMatchObject(DENIED);
    const denial = { kind: "method", name: "purge", roles: ["admin", "root"] };
    expect(denials).toEqual([
      ["bob", denial],
      ["", denial],
    ]);
  });

  test("has middlewares around the hooks that are notified of a refusal", async () => {
    const seen: unknown[] = [];
    const { bob } = await scene((server) => {
      server.use(({ kind, method }, next) => {
        if (kind === "hook") seen.push(method);
        return next();
      });
      server.onDenied((_connection, { name }) => seen.push(name));
      server.rpc({ name: "purge", roles: ["admin"] }, () => "done");
    });
    await expect(bob.call("purge")).rejects.toMatchObject(DENIED);
    expect(seen).toEqual(["onDenied", "purge"]);
  });

  test("and with others in the contract asks for one of each", async () => {
    const contract = { server: { methods: { purge: { roles: ["admin", "operator"] } } } };
    const { ada, bob } = await scene((server) => server.rpc({ name: "purge", roles: ["guest"] }, () => "done"), {
      contract,
    });
    await expect(ada.call("purge")).rejects.toMatchObject(DENIED);
    await expect(bob.call("purge")).resolves.toBe("done");
  });

  test("is registered as such by the contract alone", async () => {
    const contract = { server: { methods: { purge: { roles: ["admin"] } } } };
    const { ada, bob } = await scene((server) => server.implement({ purge: () => "done" }), { contract });
    await expect(ada.call("purge")).resolves.toBe("done");
    await expect(bob.call("purge")).rejects.toMatchObject(DENIED);
  });
});

describe("a stream with roles", () => {
  test("refuses users who have none of them, as it does calls of the wrong kind", async () => {
    const { ada, bob, denials } = await scene((server) => {
      server.stream({ name: "log", roles: ["admin"] }, async function* () {
        yield 1;
      });
    });
    const read = async (client: Client): Promise<unknown[]> => {
      const items: unknown[] = [];
      for await (const item of client.stream("log")) items.push(item);
      return items;
    };
    await expect(read(ada)).resolves.toEqual([1]);
    await expect(read(bob)).rejects.toMatchObject(DENIED);
    await expect(bob.call("log")).rejects.toMatchObject(DENIED);
    expect(denials).toMatchObject([
      ["bob", { kind: "stream", name: "log" }],
      ["bob", {}],
    ]);
  });
});

describe("a message with roles", () => {
  test("is refused from users who have none of them, also if they want no reply", async () => {
    const got: unknown[] = [];
    const { ada, bob, denials, runtime } = await scene((server) => {
      server.on("order", v.number(), ({ user }, n) => got.push([user.name, n]), { roles: ["admin"] });
    });
    const refused: unknown[] = [];
    bob.onError((error) => refused.push((error as ConduitError).code));
    ada.send("order", 1);
    bob.send("order", "no number");
    await expect(bob.request("order", 3)).rejects.toMatchObject(DENIED);
    await runtime.settle();
    expect([got, refused, denials.length]).toEqual([[["ada", 1]], [ErrorCode.PERMISSION_DENIED], 2]);
  });

  test("runs the handlers that the sender may use, and no others", async () => {
    const got: string[] = [];
    const { bob } = await scene((server) => {
      server.on("order", () => got.push("admin"), { roles: ["admin"] });
      server.on("order", () => {
        got.push("all");
        return "handled";
      });
    });
    await expect(bob.request("order")).resolves.toBe("handled");
    expect(got).toEqual(["all"]);
  });

  test("may be of a group, with a schema or without one", async () => {
    const { ada, bob, denials } = await scene((server) => {
      const group = server.group();
      group.on("order", (_connection, data) => data, { roles: ["admin"] });
      group.on("count", v.number(), (_connection, n) => n + 1, { roles: ["operator"] });
    });
    await expect(ada.request("order", "one")).resolves.toBe("one");
    await expect(bob.request("order", "one")).rejects.toMatchObject(DENIED);
    await expect(bob.request("count", 1)).resolves.toBe(2);
    await expect(ada.request("count", 1)).rejects.toMatchObject(DENIED);
    expect(denials).toHaveLength(2);
  });

  test("and with others in the contract asks for one of each", async () => {
    const contract = { server: { messages: { note: { data: v.string(), roles: ["admin", "guest"] } } } };
    const { ada, bob, nobody } = await scene(
      (server) => server.on("note", (_connection, text) => text, { roles: ["operator"] }),
      { contract },
    );
    await expect(bob.request("note", "for guests who operate")).resolves.toBe("for guests who operate");
    await expect(ada.request("note", "no operator")).rejects.toMatchObject(DENIED);
    await expect(nobody.request("note", "neither")).rejects.toMatchObject(DENIED);
  });

  test("is denied only if no handler is left that the sender may use", async () => {
    const { bob, ada, denials } = await scene((server) => {
      server.on("order", () => "admin", { roles: ["admin"] });
      server.on("order", () => "operator", { roles: ["operator"] });
    });
    await expect(bob.request("order")).resolves.toBe("operator");
    await expect(ada.request("order")).resolves.toBe("admin");
    expect(denials).toEqual([]);
  });

  test("has the schema and roles of the contract", async () => {
    const contract = { server: { messages: { order: { data: v.number(), roles: ["admin"] } } } };
    const { ada, bob } = await scene((server) => server.on("order", (_connection, n) => n), { contract });
    await expect(ada.request("order", 4)).resolves.toBe(4);
    await expect(ada.request("order", "x")).rejects.toMatchObject({ code: ErrorCode.INVALID_TYPE });
    await expect(bob.request("order", 4)).rejects.toMatchObject(DENIED);
  });
});

describe("a topic with roles", () => {
  test.each([
    ["in code", {}, { roles: ["admin"] }],
    ["in the contract", { topics: { audit: { roles: ["admin"] } } }, {}],
  ])("%s lets users who have one of them subscribe and publish", async (_, contract, options) => {
    const { ada, bob, denials } = await scene((server) => server.topic("audit", { publish: true, ...options }), {
      contract,
    });
    const subscription = ada.subscribe("audit");
    await subscription.ready;
    await ada.publish("audit", "seen");
    await expect(bob.subscribe("audit").ready).rejects.toMatchObject(DENIED);
    await expect(bob.publish("audit", "unseen")).rejects.toMatchObject(DENIED);
    expect(denials).toMatchObject([
      ["bob", { kind: "subscribe", name: "audit" }],
      ["bob", { kind: "publish", name: "audit" }],
    ]);
  });

  test("may be one of a pattern, which then needs no function", async () => {
    const { ada, bob } = await scene((server) => server.topics("room:*", { roles: ["admin"] }));
    await expect(ada.subscribe("room:1").ready).resolves.toBeUndefined();
    await expect(bob.subscribe("room:1").ready).rejects.toMatchObject(DENIED);
  });
});

describe("roles", () => {
  test.each([[[]], [[""]], ["admin"], [[5]]])("can't be %j", (roles) => {
    const server = new Server({ password: "x" }, fakeRuntime());
    expect(() => server.rpc({ name: "m", roles: roles as string[] }, () => 1)).toThrow(
      "The roles of 'm' must be an array of one or more non-empty strings, got ",
    );
  });

  test("can't be asked of a server", () => {
    const { client } = testClient(fakeRuntime());
    expect(() => client.rpc({ name: "m", roles: ["admin"] }, () => 1)).toThrow(ConduitError);
  });

  test.each([
    [{ client: { methods: { m: { roles: ["a"] } } } }, "contract.client.methods.m.roles"],
    [{ server: { methods: { m: { roles: [] } } } }, "contract.server.methods.m.roles"],
    [{ server: { messages: { m: { roles: ["a"], schema: v.any() } } } }, "contract.server.messages.m.schema"],
    [{ topics: { t: { roles: "a" } } }, "contract.topics.t.roles"],
  ])("of a contract are checked: %j", (contract, path) => {
    expect(() => new Server({ password: "x", contract: contract as never }, fakeRuntime())).toThrow(path);
  });
});
