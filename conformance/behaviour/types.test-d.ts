/** Types of handlers, calls and connections. This file is only compiled, never run. */
import {
  type AnyClient,
  type AnyConnection,
  type AnyServer,
  Client,
  ClientPool,
  type ConduitError,
  type Connection,
  type ConnectionStats,
  type HandlerContext,
  type ItemStream,
  type MethodHandlers,
  type MiddlewareContext,
  type Next,
  type PeerInfo,
  type PoolResult,
  type RemoteCaller,
  type RemotePeer,
  response,
  Server,
  type Subscription,
  type TypedCallOptions,
} from "@netconduit/node";
import * as v from "valibot";
import { describe, expectTypeOf, test } from "vitest";
import { z } from "zod";

const server = new Server({ password: "secret" });
const client = new Client({ host: "localhost", port: 8080, password: "secret" });

const addValibot = v.object({ a: v.number(), b: v.optional(v.number(), 0) });
const addZod = z.object({ a: z.number(), b: z.number().default(0) });
const userValibot = v.object({ id: v.pipe(v.string(), v.transform(Number)), name: v.string() });

describe("schemas give handlers their types", () => {
  test("of parameters: what the schema yields, defaults and transformations done", () => {
    server.rpc("add", addValibot, (params, context) => {
      expectTypeOf(params).toEqualTypeOf<{ a: number; b: number }>();
      expectTypeOf(context).toEqualTypeOf<HandlerContext<Connection>>();
      expectTypeOf(context.signal).toEqualTypeOf<AbortSignal>();
      expectTypeOf(context.deadline).toEqualTypeOf<number | null>();
      return params.a + params.b;
    });
    server.rpc("add", addZod, (params) => {
      expectTypeOf(params).toEqualTypeOf<{ a: number; b: number }>();
    });
    server.rpc({ name: "add", params: addValibot }, (params) => {
      expectTypeOf(params).toEqualTypeOf<{ a: number; b: number }>();
    });
    client.rpc("add", addZod, (params, context) => {
      expectTypeOf(params).toEqualTypeOf<{ a: number; b: number }>();
      expectTypeOf(context.client).toEqualTypeOf<Client | typeof context.client>();
    });
  });

  test("of results: a handler returns what the schema takes, and nothing else", () => {
    server.rpc({ name: "user", result: userValibot }, (params) => {
      expectTypeOf(params).toEqualTypeOf<Readonly<Record<string, unknown>>>();
      return { id: "7", name: "Ada" };
    });
    server.rpc({ name: "user", params: addValibot, result: userValibot }, async ({ a }) => ({
      id: String(a),
      name: "Ada",
    }));
    // @ts-expect-error: id is a number there
    server.rpc({ name: "user", result: userValibot }, () => ({ id: 7, name: "Ada" }));
    // @ts-expect-error: name is missing
    server.rpc({ name: "user", params: addValibot, result: userValibot }, async () => ({ id: "7" }));
  });

  test("of results: a literal stays one, and a tuple", () => {
    const mood = v.object({ mood: v.picklist(["fine", "bad"]), at: v.tuple([v.string(), v.number()]) });
    server.rpc({ name: "mood", result: mood }, () => ({ mood: "fine", at: ["home", 1] }));
    server.rpc({ name: "mood", result: mood, params: addValibot }, async ({ a }) => ({ mood: "bad", at: ["home", a] }));
    server.rpc({ name: "mood", result: v.picklist(["fine", "bad"]) }, () => "fine");
    server.rpc({ name: "mood", result: v.literal("fine") }, () => new Promise((resolve) => resolve("fine")));
  });

  test("of no results: a handler may return any promise", () => {
    server.rpc("wait", () => new Promise((resolve) => resolve(null)));
    server.rpc({ name: "wait", params: addValibot }, () => new Promise((resolve) => resolve(null)));
  });

  test("of messages", () => {
    server.on("move", addValibot, (connection, data) => {
      expectTypeOf(connection).toEqualTypeOf<Connection>();
      expectTypeOf(data).toEqualTypeOf<{ a: number; b: number }>();
    });
    server.on(["move", "jump"], addZod, (_connection, data) => {
      expectTypeOf(data).toEqualTypeOf<{ a: number; b: number }>();
    });
    client.on("move", addZod, (data) => {
      expectTypeOf(data).toEqualTypeOf<{ a: number; b: number }>();
    });
  });

  test("without a schema parameters are a map and data is unknown", () => {
    server.rpc("any", (params) => {
      expectTypeOf(params).toEqualTypeOf<Readonly<Record<string, unknown>>>();
    });
    server.on("any", (_connection, data) => {
      expectTypeOf(data).toEqualTypeOf<unknown>();
    });
  });
});

describe("calls", () => {
  test("have the type their caller states, or that of the schema it gives", () => {
    expectTypeOf(client.call("add", { a: 1 })).toEqualTypeOf<Promise<unknown>>();
    expectTypeOf(client.call<number>("add", { a: 1 })).toEqualTypeOf<Promise<number>>();
    expectTypeOf(client.call("user", {}, { result: userValibot })).toEqualTypeOf<
      Promise<{ id: number; name: string }>
    >();
    expectTypeOf(client.request<string>("ask")).toEqualTypeOf<Promise<string>>();
    expectTypeOf(client.request("ask", null, { result: z.number() })).toEqualTypeOf<Promise<number>>();
  });

  test("take no type from where their result goes: it must be stated", () => {
    // @ts-expect-error: unknown
    const result: Promise<number> = client.call("add", { a: 1 });
    // @ts-expect-error: unknown
    const reply: Promise<number> = client.request("ask");
    return [result, reply];
  });

  test("check with a schema that is passed in options of their own", () => {
    const options: TypedCallOptions<typeof addValibot> = { result: addValibot };
    expectTypeOf(client.call("add", {}, options)).toEqualTypeOf<Promise<{ a: number; b: number }>>();
    expectTypeOf(client.request("add", {}, options)).toEqualTypeOf<Promise<{ a: number; b: number }>>();
  });

  test("take a name that is not known before the program runs", () => {
    const name: string = "add";
    expectTypeOf(client.call<number>(name, { a: 1 })).toEqualTypeOf<Promise<number>>();
    expectTypeOf(client.call(name, {}, { result: z.number() })).toEqualTypeOf<Promise<number>>();
    server.rpc(name, addZod, ({ a, b }) => a + b);
    server.on(name, addZod, (_connection, { a }) => a);
  });

  test("can be wrapped in a function with a type parameter", () => {
    async function ask<T>(name: string): Promise<T[]> {
      return [await client.call<T>(name), await client.request<T>(name, 1)];
    }
    expectTypeOf(ask<string>("x")).toEqualTypeOf<Promise<string[]>>();
  });

  test("go from a server to its client just so", () => {
    const connection = server.connections[0] as Connection;
    expectTypeOf(connection.call<number>("add", { a: 1 })).toEqualTypeOf<Promise<number>>();
    expectTypeOf(connection.call("user", {}, { result: userValibot })).toEqualTypeOf<
      Promise<{ id: number; name: string }>
    >();
  });
});

describe("connection data", () => {
  interface Player {
    name: string;
    score: number;
  }
  const game = new Server({ password: "secret", connectionData: (): Player => ({ name: "", score: 0 }) });

  test("has the type that connectionData returns, wherever a connection is handed out", () => {
    expectTypeOf(game.connections[0]?.data).toEqualTypeOf<Player | undefined>();
    game.onClientConnect((connection) => {
      expectTypeOf(connection.data).toEqualTypeOf<Player>();
    });
    game.on("move", (connection) => {
      expectTypeOf(connection.data.score).toEqualTypeOf<number>();
    });
    game.rpc("score", (_params, { client: caller }) => {
      expectTypeOf(caller.data).toEqualTypeOf<Player>();
    });
    game.broadcast("news", null, { where: ({ data }) => data.score > 10 });
    // @ts-expect-error: there is no such field
    game.onClientConnect(({ data }) => data.rank);
  });

  test("is an open map without connectionData", () => {
    expectTypeOf(server.connections[0]?.data).toEqualTypeOf<Record<string, unknown> | undefined>();
  });
});

describe("a remote peer", () => {
  async function ask(peer: RemotePeer): Promise<void> {
    expectTypeOf(peer.call("add", { a: 1 })).toEqualTypeOf<Promise<unknown>>();
    expectTypeOf(peer.call<number>("add")).toEqualTypeOf<Promise<number>>();
    expectTypeOf(peer.call("add", {}, { result: z.number() })).toEqualTypeOf<Promise<number>>();
    expectTypeOf(peer.request<string>("ask", 1)).toEqualTypeOf<Promise<string>>();
    expectTypeOf(peer.info).toEqualTypeOf<PeerInfo | null>();
    expectTypeOf(peer.close("over")).toEqualTypeOf<Promise<void>>();
    await peer.api.users.list({ limit: 1 });
  }

  test("is a connection or a client, whatever its contract", () => {
    expectTypeOf<Client>().toExtend<RemotePeer>();
    expectTypeOf<Connection>().toExtend<RemotePeer>();
    expectTypeOf<Client<GameContract>>().toExtend<RemotePeer>();
    expectTypeOf<Connection<GameContract, { score: number }>>().toExtend<RemotePeer>();
    void ask(client);
  });

  test("of a contract is a client of it, or a connection if it is that of the client's side", () => {
    expectTypeOf<Client<GameContract>>().toExtend<RemotePeer<GameContract, "server">>();
    expectTypeOf<Connection<GameContract>>().toExtend<RemotePeer<GameContract, "client">>();
    const whereIs = (peer: RemotePeer<GameContract, "client">) => peer.api.where();
    expectTypeOf(whereIs).returns.toEqualTypeOf<Promise<{ a: number; b: number }>>();
  });

  test("has facts that only a client may lack", () => {
    expectTypeOf<Connection["info"]>().toEqualTypeOf<PeerInfo>();
    expectTypeOf<Client["info"]>().toEqualTypeOf<PeerInfo | null>();
    expectTypeOf<Connection["stats"]>().toEqualTypeOf<ConnectionStats>();
    expectTypeOf<Client["stats"]>().toEqualTypeOf<ConnectionStats | null>();
  });
});

/** A contract's type, written by hand. */
interface GameContract {
  readonly server: {
    readonly methods: {
      readonly add: { readonly params: typeof addValibot; readonly result: ReturnType<typeof v.number> };
      readonly user: { readonly params: typeof addZod; readonly result: typeof userValibot };
      readonly mood: { readonly result: v.PicklistSchema<["fine", "bad"], undefined> };
      readonly ping: Record<never, never>;
    };
    readonly messages: { readonly move: typeof addZod; readonly chat: ReturnType<typeof v.string> };
  };
  readonly client: {
    readonly methods: { readonly where: { readonly result: typeof addZod } };
    readonly messages: { readonly news: typeof userValibot };
  };
}

describe("a contract", () => {
  const typedServer = new Server<GameContract>({ password: "secret" });
  const typedClient = new Client<GameContract>({ host: "localhost", port: 8080, password: "secret" });

  test("types the server's methods and messages", () => {
    typedServer.rpc("add", (params, { client: caller }) => {
      expectTypeOf(params).toEqualTypeOf<{ a: number; b: number }>();
      expectTypeOf(caller).toEqualTypeOf<Connection<GameContract>>();
      return params.a;
    });
    typedServer.rpc("user", () => ({ id: "7", name: "Ada" }));
    typedServer.rpc("ping", () => response.ok());
    typedServer.rpc("mood", () => "fine");
    typedServer.rpc("mood", async (params) => ("loud" in params ? "bad" : "fine"));
    typedServer.rpc({ name: "mood" }, () => "fine");
    typedServer.rpc("mood", addValibot, ({ a }) => (a > 0 ? "fine" : "bad"));
    // @ts-expect-error: the contract has no such mood
    typedServer.rpc("mood", () => "so-so");
    // @ts-expect-error: the result is a number
    typedServer.rpc("add", () => "three");
    // @ts-expect-error: the contract has no such method
    typedServer.rpc("subtract", () => 1);
    typedServer.on("move", (_connection, data) => {
      expectTypeOf(data).toEqualTypeOf<{ a: number; b: number }>();
    });
    // @ts-expect-error: the contract has no such message
    typedServer.on("jump", () => {});
  });

  test("types the client's calls and messages", () => {
    expectTypeOf(typedClient.call("add", { a: 1 })).toEqualTypeOf<Promise<number>>();
    expectTypeOf(typedClient.call("user", { a: 1, b: 2 })).toEqualTypeOf<Promise<{ id: number; name: string }>>();
    expectTypeOf(typedClient.call("ping")).toEqualTypeOf<Promise<unknown>>();
    typedClient.send("chat", "hello");
    // @ts-expect-error: a is a number
    void typedClient.call("add", { a: "1" });
    // @ts-expect-error: its parameters are required
    void typedClient.call("add");
    // @ts-expect-error: its data is required
    typedClient.send("chat");
    // @ts-expect-error: the contract has no such method
    void typedClient.call("subtract", {});
    // @ts-expect-error: chat is text
    typedClient.send("chat", 5);
    // @ts-expect-error: the contract has no such message
    typedClient.send("shout", "hello");
  });

  test("types what the server sends and calls, and what the client answers", () => {
    typedClient.on("news", (data) => {
      expectTypeOf(data).toEqualTypeOf<{ id: number; name: string }>();
    });
    typedClient.rpc("where", () => ({ a: 1 }));
    // @ts-expect-error: a is missing
    typedClient.rpc("where", () => ({}));
    const connection = typedServer.connections[0] as Connection<GameContract>;
    expectTypeOf(connection.call("where")).toEqualTypeOf<Promise<{ a: number; b: number }>>();
    connection.send("news", { id: "7", name: "Ada" });
    typedServer.broadcast("news", { id: "7", name: "Ada" });
    // @ts-expect-error: id is text before it is transformed
    typedServer.broadcast("news", { id: 7, name: "Ada" });
    // @ts-expect-error: the contract has no such message of the client
    connection.send("move", { a: 1 });
  });

  test("types streams: their parameters, and items in both directions", () => {
    const streaming = {
      server: {
        methods: { sum: { input: v.number(), result: v.number() }, ping: {} },
        streams: {
          tail: { params: v.object({ file: v.string() }), output: userValibot },
          shell: { input: v.string() },
        },
      },
      client: { streams: { frames: { output: v.string() } } },
    };
    const one = new Server({ password: "secret", contract: streaming });
    const other = new Client({ host: "localhost", port: 8080, password: "secret", contract: streaming });
    one.rpc("sum", async (_params, { input }) => {
      for await (const n of input) expectTypeOf(n).toEqualTypeOf<number>();
      return 1;
    });
    one.stream("tail", async function* ({ file }) {
      expectTypeOf(file).toEqualTypeOf<string>();
      yield { id: "7", name: "Ada" };
    });
    // @ts-expect-error: id is text before it is transformed
    one.stream("tail", async function* () {
      yield { id: 7, name: "Ada" };
    });
    one.stream("shell", (_params, { input }) => {
      expectTypeOf(input).toEqualTypeOf<ItemStream<string>>();
      return input;
    });
    // @ts-expect-error: the contract has no such stream
    one.stream("sum", () => []);
    expectTypeOf(other.stream("tail", { file: "a" })).toEqualTypeOf<ItemStream<{ id: number; name: string }>>();
    expectTypeOf(other.stream("shell", {}, { input: ["a"] })).toEqualTypeOf<ItemStream<unknown>>();
    expectTypeOf(other.call("sum", {}, { input: [1] })).toEqualTypeOf<Promise<number>>();
    // @ts-expect-error: its parameters are required
    other.stream("tail");
    // @ts-expect-error: items are text
    other.stream("shell", {}, { input: [1] });
    // @ts-expect-error: ping has no input
    void other.call("ping", {}, { input: [1] });
    expectTypeOf(other.api.sum({}, { input: [1], onProgress: () => undefined })).toEqualTypeOf<Promise<number>>();
    // @ts-expect-error: items are numbers
    void other.api.sum({}, { input: ["a"] });
    // @ts-expect-error: ping has no input
    void other.api.ping({}, { input: [1] });
    // @ts-expect-error: the contract has no such stream
    other.stream("nothing");
    other.stream("frames", () => ["frame"]);
    // @ts-expect-error: frames are text
    other.stream("frames", () => [1]);
    const connection = one.connections[0] as Connection<typeof streaming>;
    expectTypeOf(connection.stream("frames")).toEqualTypeOf<ItemStream<string>>();
    expectTypeOf(client.stream<string>("any")).toEqualTypeOf<ItemStream<string>>();
    expectTypeOf(client.stream("any", {}, { output: z.number() })).toEqualTypeOf<ItemStream<number>>();
  });

  test("types progress: as the handler passes it, and as the caller gets it", () => {
    const progress = v.pipe(
      v.object({ done: v.string() }),
      v.transform(({ done }) => ({ done: Number(done) })),
    );
    const side = { methods: { load: { progress }, ping: {} }, streams: { tail: { progress } } };
    const contract = { server: side, client: side };
    const one = new Server({ password: "secret", contract });
    const other = new Client({ host: "localhost", port: 8080, password: "secret", contract });
    for (const end of [one, other] as (typeof one)[]) {
      end.rpc("load", (_params, context) => {
        context.progress({ done: "1" });
        // @ts-expect-error: text before it is transformed
        context.progress({ done: 1 });
        end.connections[0]?.call("ping", {}, { parent: context });
      });
      end.rpc("ping", (_params, context) => context.progress("anything"));
      end.stream("tail", (_params, context) => {
        // @ts-expect-error: text before it is transformed
        context.progress({ done: 1 });
        return [];
      });
    }
    const own = { name: "load", progress: v.number() } as const;
    one.rpc(own, (_params, context) => context.progress(1));
    // @ts-expect-error: its own schema accepts numbers
    one.rpc(own, (_params, context) => context.progress("1"));
    one.group().rpc(own, (_params, context) => context.progress(1));
    one.implement({
      // @ts-expect-error: text before it is transformed
      load: (_params, context) => context.progress({ done: 1 }),
      ping: () => null,
      tail: () => [],
    });
    const caller = one.connections[0] as Connection<typeof contract>;
    for (const end of [other, caller] as (typeof caller)[]) {
      end.call("load", {}, { onProgress: (value) => expectTypeOf(value).toEqualTypeOf<{ done: number }>() });
      end.api.load({}, { onProgress: (value) => expectTypeOf(value).toEqualTypeOf<{ done: number }>() });
      end.stream("tail", {}, { onProgress: (value) => expectTypeOf(value).toEqualTypeOf<{ done: number }>() });
      end.call("ping", {}, { onProgress: (value) => expectTypeOf(value).toBeUnknown() });
      // @ts-expect-error: it has no such field
      end.call("load", {}, { onProgress: ({ of }) => of });
      // @ts-expect-error: it is a number
      end.call("load", {}, { onProgress: (value: { done: string }) => value });
    }
    const log = (context: HandlerContext<Connection<typeof contract>>) => context.method;
    one.rpc("load", (_params, context) => log(context));
  });

  test("types requests: their data by the contract, their reply by what is stated or a schema", () => {
    expectTypeOf(typedClient.request("move", { a: 1 })).toEqualTypeOf<Promise<unknown>>();
    expectTypeOf(typedClient.request<number>("move", { a: 1 })).toEqualTypeOf<Promise<number>>();
    expectTypeOf(typedClient.request("chat", "hello", { result: z.number() })).toEqualTypeOf<Promise<number>>();
    const connection = typedServer.connections[0] as Connection<GameContract>;
    expectTypeOf(connection.request<number>("news", { id: "7", name: "Ada" })).toEqualTypeOf<Promise<number>>();
    // @ts-expect-error: the contract has no such message
    void typedClient.request("jump", { a: 1 });
    // @ts-expect-error: a is a number
    void typedClient.request("move", { a: "1" });
    // @ts-expect-error: its data is required
    void typedClient.request("move");
    // @ts-expect-error: a is a number
    void typedClient.request<number>("move", { a: "1" });
    // @ts-expect-error: that is the data of another message
    void typedClient.request<number>("move", "hello");
    // @ts-expect-error: the contract has no such message of the client
    void connection.request("move", { a: 1 });
  });

  test("types the long form of rpc by its name", () => {
    typedServer.rpc({ name: "add", description: "Adds" }, (params) => {
      expectTypeOf(params).toEqualTypeOf<{ a: number; b: number }>();
      return params.a;
    });
    // @ts-expect-error: the contract has no such method
    typedServer.rpc({ name: "subtract", params: addValibot }, () => 1);
    // @ts-expect-error: the result is a number
    typedServer.rpc({ name: "add" }, () => "three");
    // @ts-expect-error: the handler's type doesn't match the contract
    typedServer.rpc({ name: "add", params: userValibot }, () => 1);
    // @ts-expect-error: the caller's type doesn't match the contract
    typedServer.rpc({ name: "add", result: v.string() }, () => "three");
  });

  test("lets a schema stand in for its own that yields the same or less", () => {
    const narrow = v.object({ a: v.literal(1), b: v.number() });
    typedServer.rpc("add", addValibot, (params) => {
      expectTypeOf(params).toEqualTypeOf<{ a: number; b: number }>();
      return params.a;
    });
    typedServer.rpc("add", narrow, (params) => {
      expectTypeOf(params).toEqualTypeOf<{ a: 1; b: number }>();
      return params.a;
    });
    typedServer.rpc({ name: "add", params: narrow }, ({ a }) => a);
    typedServer.rpc("ping", narrow, ({ a }) => a);
    typedServer.on("move", narrow, (_connection, data) => {
      expectTypeOf(data).toEqualTypeOf<{ a: 1; b: number }>();
    });
    typedClient.on("news", v.object({ id: v.number(), name: v.string() }), (data) => {
      expectTypeOf(data).toEqualTypeOf<{ id: number; name: string }>();
    });
    // @ts-expect-error: the result is a number
    typedServer.rpc("add", narrow, () => "three");
    // @ts-expect-error: the handler's type doesn't match the contract
    typedServer.rpc("add", userValibot, () => 1);
    // @ts-expect-error: the handler's type doesn't match the contract
    typedServer.on("move", userValibot, () => {});
    // @ts-expect-error: the contract has no such message
    typedServer.on("jump", narrow, () => {});
  });

  test("takes data where it is required, in a broadcast too", () => {
    typedServer.broadcast("news", { id: "7", name: "Ada" }, { exclude: "1" });
    // @ts-expect-error: its data is required
    typedServer.broadcast("news");
  });

  test("lists nothing for a side that it does not describe", () => {
    const onlyServer = { server: { methods: { add: { params: addValibot } } } };
    const one = new Client<typeof onlyServer>({ host: "localhost", port: 8080, password: "secret" });
    void one.call("add", { a: 1 });
    // @ts-expect-error: the contract has no messages to the server
    one.send("move");
    // @ts-expect-error: the client has no methods
    one.rpc("where", () => ({ a: 1 }));
    expectTypeOf(one).toExtend<AnyClient>();
    expectTypeOf<Server<typeof onlyServer>>().toExtend<AnyServer>();
    expectTypeOf<Connection<typeof onlyServer>>().toExtend<AnyConnection>();
    expectTypeOf(typedServer).toExtend<AnyServer>();
    expectTypeOf(typedClient).toExtend<AnyClient>();
  });

  test("is inferred from its value, and the connection data with it", () => {
    const game = {
      server: { methods: { add: { params: addValibot, result: v.number() } } },
      client: { messages: { news: v.string() } },
    };
    const byValue = new Server({ password: "secret", contract: game, connectionData: () => ({ score: 0 }) });
    expectTypeOf(byValue).toEqualTypeOf<Server<typeof game, { score: number }>>();
    byValue.rpc("add", ({ a }, { client: caller }) => a + caller.data.score);
    // @ts-expect-error: the contract has no such method
    byValue.rpc("subtract", () => 1);
    const caller = new Client({ host: "localhost", port: 8080, password: "secret", contract: game });
    expectTypeOf(caller).toEqualTypeOf<Client<typeof game>>();
    expectTypeOf(caller.call("add", { a: 1 })).toEqualTypeOf<Promise<number>>();
    expectTypeOf(new Server({ password: "secret" })).toEqualTypeOf<Server>();
    expectTypeOf(new Server<typeof game>({ password: "secret", contract: game })).toEqualTypeOf<Server<typeof game>>();
    // @ts-expect-error: another contract than the one stated
    new Client<typeof game>({ host: "localhost", port: 8080, password: "secret", contract: { server: {} } });
    // @ts-expect-error: a schema isn't a method
    new Server({ password: "secret", contract: { server: { methods: { add: 5 } } } });
  });

  test("types the peer's methods as functions, nested by the dots of their names", () => {
    const nested = {
      server: {
        methods: {
          "users.list": { params: v.object({ limit: v.optional(v.number(), 10) }), result: v.array(v.string()) },
          users: { result: v.number() },
          "users.admin.add": { params: v.object({ name: v.string() }) },
          "list.then": {},
        },
      },
      client: { methods: { mood: { result: v.picklist(["fine", "bad"]) } } },
    };
    const { api } = new Client({ host: "localhost", port: 8080, password: "secret", contract: nested });
    expectTypeOf(api.users.list({ limit: 1 }, { timeoutMs: 5 })).toEqualTypeOf<Promise<string[]>>();
    expectTypeOf(api.users.list({}, { result: v.number() })).toEqualTypeOf<Promise<number>>();
    expectTypeOf(api.users()).toEqualTypeOf<Promise<number>>();
    expectTypeOf(api.users.admin.add({ name: "ada" })).toEqualTypeOf<Promise<unknown>>();
    const nestedServer = new Server({ password: "secret", contract: nested });
    expectTypeOf(nestedServer.connections[0]?.api.mood()).toEqualTypeOf<Promise<"fine" | "bad"> | undefined>();
    // @ts-expect-error: the contract has no such method
    void api.users.lits({});
    // @ts-expect-error: limit is a number
    void api.users.list({ limit: "1" });
    // @ts-expect-error: its parameters are required
    void api.users.admin.add();
    // @ts-expect-error: a prefix of other names isn't a method
    void api.users.admin();
    // @ts-expect-error: await would call it
    void api.list.then();
    expectTypeOf(client.api["users"]?.["list"]?.({ limit: 1 })).toEqualTypeOf<Promise<unknown> | undefined>();
    expectTypeOf(client.api["count"]?.<number>()).toEqualTypeOf<Promise<number> | undefined>();
    expectTypeOf(client.api["count"]?.({}, { result: z.number() })).toEqualTypeOf<Promise<number> | undefined>();
  });

  test("is implemented by a handler for each of its methods", () => {
    const handlers = {
      add: ({ a }: { a: number }) => a,
      user: () => ({ id: "7", name: "Ada" }),
      mood: () => "fine" as const,
      ping: () => null,
    };
    typedServer.implement(handlers);
    typedServer.implement({
      ...handlers,
      add: (params, context) => {
        expectTypeOf(params).toEqualTypeOf<{ a: number; b: number }>();
        expectTypeOf(context.client).toEqualTypeOf<Connection<GameContract>>();
        return params.a;
      },
      mood: async () => "fine" as const,
    });
    typedClient.implement({ where: () => ({ a: 1 }) });
    server.implement({ any: (params) => params["a"] });
    // @ts-expect-error: ping is missing
    typedServer.implement({ add: handlers.add, user: handlers.user, mood: handlers.mood });
    // @ts-expect-error: the contract has no such method
    typedServer.implement({ ...handlers, subtract: () => 1 });
    // @ts-expect-error: the result is a number
    typedServer.implement({ ...handlers, add: () => "three" });
    const part = { add: ({ a }) => a } satisfies Partial<
      MethodHandlers<GameContract, "server", Connection<GameContract>>
    >;
    typedServer.implement({ ...handlers, ...part });
  });

  test("is implemented by a group, whose middleware adds fields", () => {
    const app = typedServer.group().use(async (_context, next) => await next({ user: { name: "ada" } }));
    const rest = { user: () => ({ id: "7", name: "Ada" }), mood: () => "fine" as const, ping: () => null };
    app.implement({
      ...rest,
      add: (params, context) => {
        expectTypeOf(params).toEqualTypeOf<{ a: number; b: number }>();
        expectTypeOf(context.user.name).toBeString();
        expectTypeOf(context.client).toEqualTypeOf<Connection<GameContract>>();
        return params.a;
      },
    });
    // @ts-expect-error: add is missing
    app.implement(rest);
    // @ts-expect-error: the server itself has no such field
    typedServer.implement({ ...rest, add: (_params, context) => context.user.name.length });
    typedClient.group().implement({ where: () => ({ a: 1 }) });
  });

  test("may have a name of its own", () => {
    const definition = { server: { methods: { add: { params: addValibot, result: v.number() } } } };
    type Definition = typeof definition;
    interface Game extends Definition {}
    const game: Game = definition;
    const named = new Client({ host: "localhost", port: 8080, password: "secret", contract: game });
    expectTypeOf(named).toEqualTypeOf<Client<Game>>();
    expectTypeOf(named.call("add", { a: 1 })).toEqualTypeOf<Promise<number>>();
  });

  test("goes together with typed connection data", () => {
    const both = new Server<GameContract, { score: number }>({
      password: "secret",
      connectionData: () => ({ score: 0 }),
    });
    both.rpc("add", ({ a }, { client: caller }) => {
      expectTypeOf(caller.data).toEqualTypeOf<{ score: number }>();
      return a + caller.data.score;
    });
  });
});

describe("a pool", () => {
  const servers = [{ host: "localhost", port: 8080 }, { path: "/run/app.sock" }];
  const pool = new ClientPool<GameContract>({ servers, password: "secret" });

  test("types calls, requests and messages as a client of the same contract", () => {
    expectTypeOf(pool.call("add", { a: 1 })).toEqualTypeOf<Promise<number>>();
    expectTypeOf(pool.api.mood()).toEqualTypeOf<Promise<"fine" | "bad">>();
    expectTypeOf(pool.send("chat", "hello")).toEqualTypeOf<boolean>();
    // @ts-expect-error: the contract has no such method
    pool.call("subtract");
    // @ts-expect-error: a chat is text
    pool.send("chat", 7);
  });

  test("types what all servers answer, and which", () => {
    expectTypeOf(pool.callAll("add", { a: 1 })).toEqualTypeOf<Promise<PoolResult<number>[]>>();
    expectTypeOf(pool.broadcast("chat", "hello")).toEqualTypeOf<PoolResult<boolean>[]>();
    for (const one of pool.broadcast("chat", "hello")) {
      if (one.ok) expectTypeOf(one.result).toEqualTypeOf<boolean>();
      else expectTypeOf(one.error).toEqualTypeOf<ConduitError>();
    }
    // @ts-expect-error: the contract has no such method
    pool.callAll("subtract");
    // @ts-expect-error: the contract has no such message
    pool.broadcast("shout", "hello");
    const open = new ClientPool({ servers, password: "secret" });
    expectTypeOf(open.callAll<string>("who")).toEqualTypeOf<Promise<PoolResult<string>[]>>();
  });

  test("types handlers and hooks, whose client is the connection", () => {
    pool.on("news", (news, { client: from }) => {
      expectTypeOf(news).toEqualTypeOf<{ id: number; name: string }>();
      expectTypeOf(from).toEqualTypeOf<Client<GameContract> | typeof from>();
    });
    pool.rpc("where", () => ({ a: 1, b: 2 }));
    // @ts-expect-error: a place has an a
    pool.rpc("where", () => "here");
    // @ts-expect-error: the contract has no such method of the client
    pool.rpc("add", () => 1);
    pool.implement({ where: () => ({ a: 1, b: 2 }) });
    pool.onConnect((connected) => {
      expectTypeOf(connected.call("add", { a: 1 })).toEqualTypeOf<Promise<number>>();
    });
  });

  test("and a client fit where only calls and messages are needed", () => {
    const add = (caller: RemoteCaller<GameContract, "server">) => caller.call("add", { a: 1 });
    add(pool);
    add(new Client<GameContract>({ host: "localhost", port: 8080, password: "secret" }));
    const anyone = (caller: RemoteCaller): unknown => caller.api;
    anyone(pool);
  });

  test("takes servers, and no host of its own", () => {
    // @ts-expect-error: servers is missing
    new ClientPool({ password: "secret" });
    // @ts-expect-error: each server has its own host
    new ClientPool({ servers, password: "secret", host: "localhost" });
    // @ts-expect-error: there is no such strategy
    new ClientPool({ servers, password: "secret", strategy: "fastest" });
  });
});

describe("topics", () => {
  const reading = v.object({ celsius: v.pipe(v.string(), v.transform(Number)) });
  const contract = { topics: { sensors: reading, "room:*": v.object({ text: v.string() }) } };
  const topicServer = new Server({ password: "secret", contract, connectionData: () => ({ score: 0 }) });
  const topicClient = new Client({ host: "localhost", port: 8080, password: "secret", contract });

  test("have the types of the contract: a publisher's input, a subscriber's output", () => {
    const sensors = topicServer.topic("sensors");
    sensors.publish({ celsius: "21" });
    // @ts-expect-error: a publisher passes text
    sensors.publish({ celsius: 21 });
    expectTypeOf(topicClient.subscribe("sensors")).toEqualTypeOf<Subscription<{ celsius: number }>>();
    expectTypeOf(topicClient.publish("sensors", { celsius: "21" })).toEqualTypeOf<Promise<void>>();
    // @ts-expect-error: its data is required
    void topicClient.publish("sensors");
    // @ts-expect-error: the contract has no such topic
    topicServer.topic("sensor");
    // @ts-expect-error: the contract has no such topic
    topicClient.subscribe("sensor");
  });

  test("of a pattern have the names that fit it", () => {
    const rooms = topicServer.topics("room:*", {
      authorize: (connection, name) => {
        expectTypeOf(name).toEqualTypeOf<string>();
        return connection.data.score > 0 && { user: connection.info.name };
      },
      publish: "subscribers",
    });
    rooms.topic("room:7").publish({ text: "hi" }, { exclude: "id" });
    // @ts-expect-error: another name
    rooms.topic("rome:7");
    expectTypeOf(topicClient.subscribe("room:7")).toEqualTypeOf<Subscription<{ text: string }>>();
    // @ts-expect-error: text is a string
    void topicClient.publish("room:7", { text: 7 });
    // @ts-expect-error: a pattern isn't a topic
    topicServer.topic("room:*");
    // @ts-expect-error: a topic isn't a pattern
    topicServer.topics("sensors", { authorize: () => true });
    // @ts-expect-error: clients choose the names, so authorize is required
    topicServer.topics("room:*", {});
  });

  test("without a contract have the type of the schema, or the one that is stated", () => {
    const sensors = server.topic("sensors", { schema: reading });
    expectTypeOf(sensors.publish).parameter(0).toEqualTypeOf<{ celsius: string }>();
    expectTypeOf(server.topic("news").publish).parameter(0).toEqualTypeOf<unknown>();
    expectTypeOf(sensors.subscribers).toEqualTypeOf<Connection[]>();
    expectTypeOf(client.subscribe("news")).toEqualTypeOf<Subscription<unknown>>();
    const stated = client.subscribe<{ celsius: number }>("sensors");
    expectTypeOf(stated.next()).resolves.toEqualTypeOf<IteratorResult<{ celsius: number }, undefined>>();
    client.onSubscribed((subscription) => expectTypeOf(subscription).toEqualTypeOf<Subscription>());
  });

  test("are none where a contract lists none", () => {
    const bare = new Client({ host: "localhost", port: 8080, password: "secret", contract: { server: {} } });
    // @ts-expect-error: the contract has no topics
    bare.subscribe("news");
  });
});

describe("middleware adds fields to the context of handlers", () => {
  test("that are registered with what use() returns", () => {
    const app = server
      .use(async (_context, next) => await next({ user: { name: "ada" } }))
      .use(async (context, next) => {
        expectTypeOf(context.user.name).toBeString();
        return await next({ roles: ["admin"] });
      });
    app.rpc("who", addValibot, (params, context) => {
      expectTypeOf(params).toEqualTypeOf<{ a: number; b: number }>();
      expectTypeOf(context.user.name).toBeString();
      expectTypeOf(context.roles).toEqualTypeOf<string[]>();
      expectTypeOf(context.client).toEqualTypeOf<Connection>();
    });
    app.on("who", (connection, _data, context) => {
      expectTypeOf(connection).toEqualTypeOf<Connection>();
      expectTypeOf(context.roles).toEqualTypeOf<string[]>();
    });
    // @ts-expect-error handlers registered with the server itself don't have them
    server.rpc("who", (_params, context) => context.user);
  });

  test("by functions that are declared apart, also those that may answer by themselves", () => {
    async function withUser(context: MiddlewareContext<Connection>, next: Next) {
      if (context.kind === "hook") return await next();
      return await next({ user: { name: context.method } });
    }
    async function cached(_context: MiddlewareContext<Connection>, next: Next) {
      return Math.random() < 0.5 ? "cached" : await next({ fresh: true });
    }
    server
      .group()
      .use(cached)
      .rpc("load", (_params, context) => {
        expectTypeOf(context.fresh).toBeBoolean();
      });
    server.use(withUser).rpc("who", (_params, context) => {
      // @ts-expect-error: not set if the middleware ran for a hook
      context.user.name;
    });
  });

  test("and adds nothing if it gives next() none", () => {
    const app = server.use(async (_context, next) => {
      await next();
    });
    app.rpc("plain", (_params, context) => {
      expectTypeOf(context.client).toEqualTypeOf<Connection>();
      // @ts-expect-error there is no such field
      context.user;
    });
  });
});

describe("what a program is told to do compiles", () => {
  test("leaving a stream by return(), and going on at a position", () => {
    const leave = () => client.stream<number>("count").return();
    expectTypeOf(leave).returns.resolves.toEqualTypeOf<IteratorResult<number, undefined>>();
    (last: Subscription) => client.subscribe("news", { since: last.position });
  });

  test("stating the type of progress, which nothing checks", () => {
    const share = ({ done, of }: { done: number; of: number }) => done / of;
    client.call("import", {}, { onProgress: share });
    client.stream("import", {}, { onProgress: share });
    client.stream("import", {}, { onProgress: (value) => expectTypeOf(value).toBeUnknown() });
  });

  test("making a Blob of a file's bytes", () => {
    expectTypeOf(client.files("box").bytes).returns.resolves.toEqualTypeOf<Uint8Array<ArrayBuffer>>();
  });

  test("options that are undefined, in definitions, too", () => {
    const none = undefined;
    server.rpc({ name: "a", description: none, params: none, result: none, roles: none, input: none }, () => 1);
    server.stream({ name: "a", description: none, params: none, output: none, roles: none, input: none }, () => [1]);
    server.on("a", () => 1, { roles: none });
  });
});
