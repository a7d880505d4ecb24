import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { extensionNames } from "../connection/extensions.ts";
import { ErrorCode } from "../errors.ts";
import { NEXT_LOGIN_MS } from "../limits.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { WebRuntimeCrypto } from "../test-support/web-crypto.ts";
import { FrameType } from "../wire/constants.ts";
import {
  ClientHandshake,
  type ClientStep,
  ServerAuthenticator,
  ServerHandshake,
  type ServerStep,
} from "./handshake.ts";
import { NextLogins } from "./next-logins.ts";
import { ScramKeyCache } from "./scram.ts";

const crypto = new WebRuntimeCrypto();
const iterations = 4096;
const info = { name: "probe", version: "1.2.3", description: "" };

interface Login {
  readonly server: ServerStep;
  readonly client: ClientStep;
}

/** Runs a login between the two roles, the server's owner included. */
async function login(options: {
  serverPassword?: string;
  clientPassword?: string;
  serverAllows?: boolean;
  clientAllows?: boolean;
}): Promise<Login> {
  const { serverPassword = "secret", clientPassword = "secret", serverAllows = false, clientAllows = false } = options;
  const authenticator = await ServerAuthenticator.create({
    password: serverPassword,
    crypto,
    now: () => 0,
    iterations,
    allowPasswordHash: serverAllows,
  });
  const cache = new ScramKeyCache();
  const server = new ServerHandshake(authenticator, true);
  const client = new ClientHandshake({
    password: clientPassword,
    info,
    allowPasswordHash: clientAllows,
    crypto,
    cache,
    next: { logins: new NextLogins(), target: "server", now: () => 0 },
  });
  let step = await server.receive(FrameType.AUTH_REQUEST, await client.start());
  if (step.kind === "challenge") {
    const answer = await client.receive(FrameType.AUTH_CHALLENGE, step.payload);
    if (answer.kind !== "send") throw new Error(`expected an answer to the challenge, got ${answer.kind}`);
    step = await server.receive(answer.type, answer.payload);
  }
  if (step.kind === "accepted") {
    const payload = { session_token: "token", server_info: { name: "host", version: "9" }, ...step.payload };
    return { server: step, client: await client.receive(FrameType.AUTH_SUCCESS, payload) };
  }
  return { server: step, client: await client.receive(FrameType.AUTH_FAILURE, step.payload) };
}

describe("a login between two peers of this library", () => {
  test("uses SCRAM, agrees on all extensions and introduces each side to the other", async () => {
    const { server, client } = await login({});
    const all = Object.fromEntries(extensionNames.map((name) => [name, true]));
    expect(server).toMatchObject({
      kind: "accepted",
      method: "scram",
      peer: { ...info, netconduit: false },
      extensions: all,
    });
    expect(client).toEqual({
      kind: "accepted",
      method: "scram",
      sessionToken: "token",
      server: { name: "host", version: "9", description: "", netconduit: false },
      extensions: all,
    });
  });

  test.each([
    [true, false],
    [false, true],
    [true, true],
  ])("uses SCRAM also where the server (%s) and the client (%s) allow the hash", async (serverAllows, clientAllows) => {
    const { server, client } = await login({ serverAllows, clientAllows });
    expect(server).toMatchObject({ kind: "accepted", method: "scram" });
    expect(client).toMatchObject({ kind: "accepted", method: "scram" });
  });

  test.each([false, true])("fails with AUTH_FAILED for another password (hash allowed: %s)", async (allows) => {
    const wrong = { clientPassword: "wrong", serverAllows: allows, clientAllows: allows };
    const { server, client } = await login(wrong);
    expect(server).toMatchObject({ kind: "refused", payload: { reason: "Invalid password", code: 3001 } });
    expect(client).toMatchObject({ kind: "failed", error: { code: 3001 } });
  });

  test("decides by the password, whatever it is", async () => {
    const password = fc.string({ minLength: 1, maxLength: 20, unit: "grapheme" });
    await fc.assert(
      fc.asyncProperty(password, password, async (serverPassword, clientPassword) => {
        const same = serverPassword.normalize("NFKC") === clientPassword.normalize("NFKC");
        const { client } = await login({ serverPassword, clientPassword });
        expect(client.kind).toBe(same ? "accepted" : "failed");
        expect((await login({ serverPassword, clientPassword: serverPassword })).client.kind).toBe("accepted");
      }),
      { numRuns: 15 },
    );
  });
});

/** A server that clients log in to again and again, in one process with them. */
class World {
  readonly cache: ScramKeyCache = new ScramKeyCache();
  readonly logins: NextLogins = new NextLogins();
  nowMs = 0;
  readonly #crypto: RuntimeCrypto;
  #authenticator: Promise<ServerAuthenticator>;

  constructor(crypto: RuntimeCrypto) {
    this.#crypto = crypto;
    this.#authenticator = this.#create("secret");
  }

  restart(password = "secret"): void {
    this.#authenticator = this.#create(password);
  }

  #create(password: string): Promise<ServerAuthenticator> {
    const now = (): number => this.nowMs;
    return ServerAuthenticator.create({ password, crypto: this.#crypto, now, iterations, allowPasswordHash: false });
  }

  client(password = "secret"): ClientHandshake {
    const next = { logins: this.logins, target: "server:1", now: () => this.nowMs };
    return new ClientHandshake({
      password,
      info,
      allowPasswordHash: false,
      crypto: this.#crypto,
      cache: this.cache,
      next,
    });
  }

  async server(): Promise<ServerHandshake> {
    return new ServerHandshake(await this.#authenticator, true);
  }

  /**
   * One login.
   * @param tamper changes what the server says at its end
   */
  async login(
    password = "secret",
    tamper: (payload: Record<string, unknown>) => Record<string, unknown> = (payload) => payload,
  ): Promise<Login & { trips: number; request: Record<string, unknown> }> {
    const client = this.client(password);
    const server = await this.server();
    const request = await client.start();
    let trips = 1;
    let step = await server.receive(FrameType.AUTH_REQUEST, request);
    if (step.kind === "challenge") {
      trips = 2;
      const answer = await client.receive(FrameType.AUTH_CHALLENGE, step.payload);
      if (answer.kind !== "send") throw new Error(`expected an answer to the challenge, got ${answer.kind}`);
      step = await server.receive(answer.type, answer.payload);
    }
    if (step.kind === "refused") {
      return { trips, request, server: step, client: await client.receive(FrameType.AUTH_FAILURE, step.payload) };
    }
    const payload = tamper({ session_token: "token", ...step.payload });
    return { trips, request, server: step, client: await client.receive(FrameType.AUTH_SUCCESS, payload) };
  }
}

describe.each([
  ["at once", fakeRuntime().crypto],
  ["by promises", new WebRuntimeCrypto()],
])("logging in again, with cryptography that answers %s", (how, crypto) => {
  const untrusted = { kind: "failed", error: { code: ErrorCode.SERVER_NOT_TRUSTED } };

  test("is the same for many at the same time", async () => {
    const world = new World(crypto);
    for (const trips of [2, 1]) {
      const logins = await Promise.all(Array.from({ length: 8 }, () => world.login()));
      expect(new Set(logins.map((login) => login.trips))).toEqual(new Set([trips]));
      expect(logins.every(({ client }) => client.kind === "accepted")).toBe(true);
    }
  });

  test("waits for nothing where nothing is to be waited for", async () => {
    const world = new World(crypto);
    await world.login();
    const server = await world.server();
    const request = world.client().start();
    const step = server.receive(FrameType.AUTH_REQUEST, await request);
    expect([request instanceof Promise, step instanceof Promise]).toEqual(Array(2).fill(how !== "at once"));
    expect((await step).kind).toBe("accepted");
  });

  test("takes one round trip, every time from the second on", async () => {
    const world = new World(crypto);
    const logins = [await world.login(), await world.login(), await world.login()];
    expect(logins.map(({ trips }) => trips)).toEqual([2, 1, 1]);
    expect(logins.every(({ server, client }) => server.kind === "accepted" && client.kind === "accepted")).toBe(true);
    expect(logins.map(({ client }) => client.kind === "accepted" && client.method)).toEqual(Array(3).fill("scram"));
    expect(logins.map(({ request }) => Object.keys(request))).toEqual([
      ["client_info", "scram", "extensions"],
      ["client_info", "scram", "proof", "extensions"],
      ["client_info", "scram", "proof", "extensions"],
    ]);
  });

  test("takes two after a restart of the server, and one again from then on", async () => {
    const world = new World(crypto);
    await world.login();
    await world.login();
    world.restart();
    const logins = [await world.login(), await world.login()];
    expect(logins.map(({ trips, client }) => [trips, client.kind])).toEqual([
      [2, "accepted"],
      [1, "accepted"],
    ]);
  });

  test("takes two when the challenge is too old", async () => {
    const world = new World(crypto);
    await world.login();
    world.nowMs += NEXT_LOGIN_MS;
    expect(await world.login()).toMatchObject({ trips: 2, client: { kind: "accepted" } });
  });

  test("takes two when the challenge has been used, and forgets what else is remembered of the server", async () => {
    const world = new World(crypto);
    await world.login();
    const known = world.logins.peek("server:1", 0);
    if (known === null) throw new Error("nothing is remembered");
    const nonce = world.logins.take("server:1", known) ?? "";
    for (let count = 0; count < 3; count++) world.logins.add("server:1", known, nonce, 0);
    expect((await world.login()).trips).toBe(1);
    // The fresh one; what is left are those that the server has seen.
    next(world);
    expect(await world.login()).toMatchObject({ trips: 2, client: { kind: "accepted" } });
    expect(next(world)).not.toBe(nonce);
    expect(next(world)).toBeNull();
  });

  function next(world: World): string | null {
    const known = world.logins.peek("server:1", world.nowMs);
    return known === null ? null : world.logins.take("server:1", known);
  }

  test("fails with another password, in one trip once its keys are derived, and uses the challenge up", async () => {
    const world = new World(crypto);
    await world.login();
    // The keys of this password are not known yet, so the login is an ordinary one and the challenge stays.
    expect(await world.login("guess")).toMatchObject({ trips: 2, server: { code: ErrorCode.AUTH_FAILED } });
    expect(await world.login("guess")).toMatchObject({
      trips: 1,
      server: { kind: "refused", code: ErrorCode.AUTH_FAILED, payload: { reason: "Invalid password" } },
      client: { kind: "failed", error: { code: ErrorCode.AUTH_FAILED } },
    });
    expect(next(world)).toBeNull();
  });

  test("cannot be replayed: the same AUTH_REQUEST gets a challenge", async () => {
    const world = new World(crypto);
    await world.login();
    const { request } = await world.login();
    const replayed = await world.server();
    expect((await replayed.receive(FrameType.AUTH_REQUEST, request)).kind).toBe("challenge");
    const { proof: data } = request;
    expect(await replayed.receive(FrameType.AUTH_RESPONSE, { data })).toMatchObject({ code: ErrorCode.AUTH_FAILED });
  });

  test("cannot be replayed at the same time either: one of two is let in", async () => {
    const world = new World(crypto);
    await world.login();
    const request = await world.client().start();
    const servers = [await world.server(), await world.server()];
    const steps = await Promise.all(servers.map((server) => server.receive(FrameType.AUTH_REQUEST, request)));
    expect(steps.map(({ kind }) => kind).sort()).toEqual(["accepted", "challenge"]);
  });

  test("with a proof made for another client nonce is refused as malformed", async () => {
    const world = new World(crypto);
    await world.login();
    const { proof } = await world.client().start();
    const { scram, extensions } = await world.client().start();
    const server = await world.server();
    expect(await server.receive(FrameType.AUTH_REQUEST, { scram, proof, extensions })).toMatchObject({
      code: ErrorCode.INVALID_PAYLOAD_SHAPE,
    });
  });

  test.each([
    ["no signature", ({ scram: _, ...rest }: Record<string, unknown>) => rest],
    ["a signature that is no text", (payload: Record<string, unknown>) => ({ ...payload, scram: 5 })],
    [
      "another signature",
      (payload: Record<string, unknown>) => ({ ...payload, scram: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" }),
    ],
  ])("trusts no server that shows %s, and remembers nothing it says", async (_, tamper) => {
    const world = new World(crypto);
    await world.login();
    expect(await world.login("secret", tamper)).toMatchObject({ trips: 1, client: untrusted });
    expect(next(world)).toBeNull();
  });

  test("trusts no server that repeats the signature of an earlier login", async () => {
    const world = new World(crypto);
    let earlier: unknown;
    await world.login("secret", (payload) => {
      earlier = payload.scram;
      return payload;
    });
    const { client } = await world.login("secret", (payload) => ({ ...payload, scram: earlier }));
    expect(client).toMatchObject(untrusted);
  });

  test.each([
    ["does not accept the extension", (payload: Record<string, unknown>) => ({ ...payload, extensions: {} })],
    ["hands out no challenge", ({ next: _, ...rest }: Record<string, unknown>) => rest],
    ["hands out something else", (payload: Record<string, unknown>) => ({ ...payload, next: 5 })],
    ["hands out a longer text", (payload: Record<string, unknown>) => ({ ...payload, next: "A".repeat(25) })],
    ["hands out what is no nonce", (payload: Record<string, unknown>) => ({ ...payload, next: ",".repeat(24) })],
  ])("takes two trips to a server that %s", async (_, tamper) => {
    const world = new World(crypto);
    const logins = [await world.login("secret", tamper), await world.login("secret", tamper)];
    expect(logins.map(({ trips, client }) => [trips, client.kind])).toEqual(Array(2).fill([2, "accepted"]));
  });
});
