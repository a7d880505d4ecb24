import { Client, type ClientOptions, type CloseReason, ErrorCode, float64, RpcError } from "@netconduit/node";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { Gathered } from "./gathered.ts";
import { interopSuite } from "./interop-suite.ts";
import { PythonDriver } from "./python-driver.ts";
import { longText, mebibyte, wireValues } from "./wire-values.ts";

const PASSWORD = "päss wörd 🔑";

/** One of netconduit's servers. */
interface Target {
  readonly server: string;
  readonly port: number;
}

await interopSuite("our client on netconduit's server", (python) => {
  let driver: PythonDriver;
  let names = 0;

  beforeAll(async () => {
    driver = await PythonDriver.start(python, "server_driver.py");
  });
  afterAll(() => driver?.kill());

  /** Starts one of netconduit's servers; python/server_driver.py has its methods and handlers. */
  async function listen(options: Record<string, unknown> = {}): Promise<Target> {
    names += 1;
    const server = `server-${names}`;
    const port = await driver.run<number>("start", { server, options: { password: PASSWORD, ...options } });
    return { server, port };
  }

  function client({ port }: Target, options: Partial<ClientOptions> = {}): Client {
    const made = new Client({
      host: "127.0.0.1",
      port,
      password: PASSWORD,
      allowPasswordHash: true,
      reconnect: { enabled: false },
      // netconduit's server leaves its end open, so each disconnect at the end of a test is forced.
      closeTimeoutMs: 1,
      ...options,
    });
    onTestFinished(() => made.disconnect());
    return made;
  }

  async function logIn(target: Target, options: Partial<ClientOptions> = {}): Promise<Client> {
    const made = client(target, options);
    await made.connect();
    return made;
  }

  /** The connection's id on their side. It is told of a login before it counts the connection: this waits for both. */
  async function idOf(ours: Client): Promise<string> {
    const { id } = await ours.request<{ id: string }>("who");
    return id;
  }

  // --- login --------------------------------------------------------------------------------------------------------

  test("the right password logs in, and the client learns who the server is", async () => {
    const ours = await logIn(await listen({ name: "theirs", version: "9.8.7" }));
    expect(ours.isConnected).toBe(true);
    expect(ours.serverInfo).toEqual({ name: "theirs", version: "9.8.7", description: "", netconduit: true });
    expect(ours.sessionToken).toMatch(/./);
  });

  test("the wrong password rejects with AUTH_FAILED", async () => {
    const ours = client(await listen(), { password: "wrong" });
    await expect(ours.connect()).rejects.toMatchObject({ code: ErrorCode.AUTH_FAILED });
    expect(ours.state).toBe("failed");
  });

  test("a client that does not allow the password hash never sends it, and names the option", async () => {
    const ours = client(await listen(), { allowPasswordHash: false });
    await expect(ours.connect()).rejects.toMatchObject({
      code: ErrorCode.PASSWORD_HASH_REFUSED,
      message: expect.stringContaining("allowPasswordHash"),
    });
  });

  test("a full server, which says nothing, ends in CONNECT_TIMEOUT", async () => {
    const target = await listen({ max_connections: 1 });
    await logIn(target);
    const second = client(target, { connectTimeoutMs: 500 });
    await expect(second.connect()).rejects.toMatchObject({ code: ErrorCode.CONNECT_TIMEOUT });
  });

  test("100 logins at once get 100 welcomes from the server's connect hook", async () => {
    const target = await listen({ max_connections: 1000 });
    const welcomes = new Gathered();
    const logins = Array.from({ length: 100 }, async () => {
      const ours = client(target);
      ours.on("welcome", (data) => welcomes.add((data as { id: string }).id));
      await ours.connect();
    });
    await Promise.all(logins);
    expect(new Set(await welcomes.atLeast(100)).size).toBe(100);
  });

  // --- messages -----------------------------------------------------------------------------------------------------

  test("request() resolves with the handler's reply", async () => {
    const ours = await logIn(await listen());
    expect(await ours.request("hello", { name: "Ada" })).toEqual({ message: "Hello, Ada!" });
  });

  test("requests of one type that run at the same time get a reply each, in order", async () => {
    const ours = await logIn(await listen());
    const replies = await Promise.all([1, 2, 3].map((n) => ours.request("echo", { n })));
    expect(replies).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  });

  test("the reply to a message that was only sent arrives as a message <type>_response", async () => {
    const ours = await logIn(await listen());
    const replies = new Gathered();
    ours.on("hello_response", replies.add);
    ours.send("hello", { name: "Ada" });
    expect(await replies.first()).toEqual({ message: "Hello, Ada!" });
  });

  test("a broadcast reaches everybody but those excluded", async () => {
    const target = await listen();
    const clients = [await logIn(target), await logIn(target), await logIn(target)] as const;
    const heard = clients.map((ours) => {
      const news = new Gathered();
      ours.on("news", news.add);
      return news.items;
    });
    const ids = await Promise.all(clients.map(idOf));
    const args = { server: target.server, type: "news", data: { n: 1 } };
    expect(await driver.run("broadcast", { ...args, exclude: [ids[1]] })).toBe(2);
    // What is asked after the news is answered after the news.
    await Promise.all(clients.map(idOf));
    expect(heard).toEqual([[{ n: 1 }], [], [{ n: 1 }]]);
  });

  test("1,000 messages sent at once arrive in order, each way", async () => {
    const target = await listen();
    const ours = await logIn(target);
    const expected = Array.from({ length: 1000 }, (_, n) => n);

    for (const n of expected) ours.send("count", { n, last: 999 });
    expect((await driver.next({ event: "counted", server: target.server })).numbers).toEqual(expected);

    const arrived = new Gathered();
    ours.on("tick", arrived.add);
    await driver.run("burst", { server: target.server, type: "tick", count: 1000 });
    expect(await arrived.atLeast(1000)).toEqual(expected.map((n) => ({ n })));
  });

  test("a server that sends faster than handlers run is held back, and nothing is lost", async () => {
    const target = await listen();
    const ours = await logIn(target, { receiveQueueSize: 10, handlerConcurrency: 1 });
    const arrived = new Gathered();
    ours.on("tick", async (data) => {
      await new Promise(setImmediate);
      arrived.add(data);
    });
    await idOf(ours);
    await driver.run("burst", { server: target.server, type: "tick", count: 1000 });
    expect(await arrived.atLeast(1000)).toEqual(Array.from({ length: 1000 }, (_, n) => ({ n })));
  });

  // --- RPC ----------------------------------------------------------------------------------------------------------

  test("a call gets its result, freed from netconduit's wrapper", async () => {
    const ours = await logIn(await listen());
    expect(await ours.call("add", { a: 2, b: 3 })).toBe(5);
  });

  test("an error of a handler rejects with its code, message and details", async () => {
    const ours = await logIn(await listen());
    const failure = await ours.call("refuse").catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(RpcError);
    expect(failure).toMatchObject({ message: "Not today", code: 3003, details: { weekday: "Monday" } });
  });

  test("an exception of a handler rejects with INTERNAL", async () => {
    const ours = await logIn(await listen());
    const failure = await ours.call("fail").catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(RpcError);
    expect(failure).toMatchObject({ message: expect.stringContaining("the disk is full"), code: ErrorCode.INTERNAL });
  });

  test("an unknown method rejects with METHOD_NOT_FOUND", async () => {
    const ours = await logIn(await listen());
    await expect(ours.call("nothing")).rejects.toMatchObject({ code: ErrorCode.METHOD_NOT_FOUND });
  });

  test("wrong parameters reject with every field that is wrong", async () => {
    const ours = await logIn(await listen());
    await expect(ours.call("add", { a: "two" })).rejects.toMatchObject({
      code: ErrorCode.VALIDATION,
      message: "Validation error in add",
      details: {
        errors: [
          { field: "a", type: "int_parsing" },
          { field: "b", type: "missing" },
        ],
      },
    });
  });

  test("callNoWait() runs the method, and its answer disturbs nothing", async () => {
    const target = await listen();
    const ours = await logIn(target);
    ours.callNoWait("note", { text: "milk" });
    expect((await driver.next({ event: "note", server: target.server })).text).toBe("milk");
    expect(await ours.call("add", { a: 1, b: 1 })).toBe(2);
  });

  test("discover() lists the methods", async () => {
    const ours = await logIn(await listen());
    const methods = await ours.discover();
    expect(methods.map(({ name }) => name)).toEqual(["add", "echo", "note", "refuse", "fail", "never"]);
    expect(methods[0]).toEqual({
      name: "add",
      description: "Adds two numbers.",
      parameters: { a: "int", b: "int" },
      return_type: "int",
      requires_auth: true,
    });
  });

  // --- values -------------------------------------------------------------------------------------------------------

  test.each(Object.keys(wireValues))("%s arrives unchanged on both sides", async (name) => {
    const value = wireValues[name];
    const target = await listen();
    const ours = await logIn(target);
    expect(await ours.call("echo", { value })).toStrictEqual(value);
    expect((await driver.next({ event: "echo", server: target.server })).value).toStrictEqual(value);
    expect(await ours.request("echo", { value })).toStrictEqual({ value });
  });

  test("float64() arrives as a float in Python, and comes back as a number", async () => {
    const target = await listen();
    const ours = await logIn(target);
    expect(await ours.call("echo", { value: float64(2) })).toBe(2);
    expect((await driver.next({ event: "echo", server: target.server })).value).toEqual(float64(2));
  });

  test("1 MiB of binary data crosses unharmed, in calls and in messages", async () => {
    const bytes = mebibyte();
    const target = await listen();
    const ours = await logIn(target);
    expect(Buffer.compare(await ours.call<Uint8Array>("echo", { value: bytes }), bytes)).toBe(0);
    const seen = (await driver.next({ event: "echo", server: target.server })).value as Uint8Array;
    expect(Buffer.compare(seen, bytes)).toBe(0);
    expect(Buffer.compare(await ours.request<Uint8Array>("echo", bytes), bytes)).toBe(0);
  });

  test.each([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ])(
    "with compression %s here and %s there, a large text crosses, and each side compresses as it is set",
    async (here, there) => {
      const target = await listen({ enable_compression: there });
      const ours = await logIn(target, { enableCompression: here });
      expect(await ours.call("echo", { value: longText })).toBe(longText);
      // Its writing is counted after the bytes are out: one more round makes sure of it.
      await ours.call("add", { a: 1, b: 1 });
      const [bytes] = await driver.run<{ received: number; sent: number }[]>("traffic", { server: target.server });
      expect((bytes?.received ?? 0) < longText.length).toBe(here);
      expect((bytes?.sent ?? 0) < longText.length).toBe(there);
    },
  );

  // --- the end ------------------------------------------------------------------------------------------------------

  test("a server that stops ends the connection cleanly, and pending calls reject at once", async () => {
    const target = await listen();
    const ours = client(target);
    const ends = new Gathered<CloseReason>();
    ours.onDisconnect((_, reason) => ends.add(reason));
    await ours.connect();
    const pending = ours.call("never").catch((error: unknown) => error);
    await driver.next({ event: "never", server: target.server });
    await driver.run("stop", { server: target.server });
    expect(await ends.first()).toMatchObject({ code: ErrorCode.CONNECTION_CLOSED, byPeer: true });
    expect(await pending).toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
    expect(ours.isConnected).toBe(false);
  });

  test("a server whose process dies is noticed", async () => {
    const mortal = await PythonDriver.start(python, "server_driver.py");
    onTestFinished(() => mortal.kill());
    const port = await mortal.run<number>("start", { server: "mortal", options: { password: PASSWORD } });
    const ours = client({ server: "mortal", port });
    const ends = new Gathered<CloseReason>();
    ours.onDisconnect((_, reason) => ends.add(reason));
    await ours.connect();
    await mortal.kill();
    await ends.first();
    expect(ours.isConnected).toBe(false);
  });

  test("disconnect() flushes what was sent, and the server notices the end", async () => {
    const target = await listen();
    const ours = await logIn(target, { closeTimeoutMs: 5000 });
    const id = await idOf(ours);
    const ballast = new Uint8Array(65_536);
    for (let n = 0; n < 100; n += 1) ours.send("count", { n, last: 99, ballast });
    await ours.disconnect();
    expect(ours.isConnected).toBe(false);
    const { numbers: counted } = await driver.next({ event: "counted", server: target.server });
    expect(counted).toHaveLength(100);
    await driver.next({ event: "disconnect", server: target.server, connection: id });
    expect(await driver.run("log")).not.toContainEqual(expect.stringContaining("Read loop error"));
  });
});
