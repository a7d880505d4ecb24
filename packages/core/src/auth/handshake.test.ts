import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { countPbkdf2 } from "../test-support/pbkdf2-runs.ts";
import { FrameType } from "../wire/constants.ts";
import { ClientHandshake, type ClientStep } from "./client-handshake.ts";
import { ServerAuthenticator, ServerHandshake, type ServerStep } from "./server-handshake.ts";

const transport = { remote: { kind: "memory", name: "peer" }, tls: null } as const;
const { crypto } = fakeRuntime();
const iterations = 4096;
const info = { name: "probe", version: "1.2.3", description: "" };
const offer = { reply: true, flow: true };
const accepted = { reply: true };

interface Login {
  readonly server: ServerStep;
  readonly client: ClientStep;
}

/** Runs a login between both roles, including the server's owner. */
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
    iterations,
    allowPasswordHash: serverAllows,
  });
  const server = new ServerHandshake(authenticator, transport);
  const client = new ClientHandshake({
    credentials: { password: clientPassword },
    info,
    offer,
    allowPasswordHash: clientAllows,
    crypto,
  });
  let step = await server.receive(FrameType.AUTH_REQUEST, await client.start());
  if (step.kind === "challenge") {
    const answer = await client.receive(FrameType.AUTH_CHALLENGE, step.payload);
    if (answer.kind !== "send") throw new Error(`expected an answer to the challenge, got ${answer.kind}`);
    step = await server.receive(answer.type, answer.payload);
  }
  if (step.kind === "accepted") {
    const greeting = { session_token: "token", server_info: { name: "host", version: "9" }, extensions: accepted };
    const payload = { ...greeting, ...step.payload };
    return { server: step, client: await client.receive(FrameType.AUTH_SUCCESS, payload) };
  }
  return { server: step, client: await client.receive(FrameType.AUTH_FAILURE, step.payload) };
}

describe("a login between two peers of this library", () => {
  test("uses SCRAM, and tells each side the other's extensions and info", async () => {
    const { server, client } = await login({});
    expect(server).toMatchObject({
      kind: "accepted",
      user: { name: "", method: "scram" },
      peer: { ...info, netconduit: false },
      offer,
    });
    expect(client).toEqual({
      kind: "accepted",
      method: "scram",
      sessionToken: "token",
      server: { name: "host", version: "9", description: "", netconduit: false },
      extensions: accepted,
    });
  });

  test.each([
    [true, false],
    [false, true],
    [true, true],
  ])("uses SCRAM also where the server (%s) and the client (%s) allow the hash", async (serverAllows, clientAllows) => {
    const { server, client } = await login({ serverAllows, clientAllows });
    expect(server).toMatchObject({ kind: "accepted", user: { method: "scram" } });
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

/** A server to which clients log in repeatedly, in the same process. */
class World {
  readonly crypto = fakeRuntime().crypto;
  readonly #authenticator = ServerAuthenticator.create({
    password: "secret",
    crypto: this.crypto,
    iterations,
    allowPasswordHash: false,
  });

  client(password = "secret"): ClientHandshake {
    return new ClientHandshake({
      credentials: { password },
      info,
      offer,
      allowPasswordHash: false,
      crypto: this.crypto,
    });
  }

  async server(): Promise<ServerHandshake> {
    return new ServerHandshake(await this.#authenticator, transport);
  }

  /**
   * Performs a login by SCRAM and returns what the client sent.
   * @param tamper changes the server's final message
   */
  async login(
    tamper: (payload: Record<string, unknown>) => Record<string, unknown> = (payload) => payload,
  ): Promise<Login & { request: Record<string, unknown>; response: { readonly data: string } }> {
    const client = this.client();
    const server = await this.server();
    const request = await client.start();
    const challenge = await server.receive(FrameType.AUTH_REQUEST, request);
    if (challenge.kind !== "challenge") throw new Error(`expected a challenge, got ${challenge.kind}`);
    const answer = await client.receive(FrameType.AUTH_CHALLENGE, challenge.payload);
    if (answer.kind !== "send") throw new Error(`expected an answer to the challenge, got ${answer.kind}`);
    const step = await server.receive(answer.type, answer.payload);
    if (step.kind !== "accepted") throw new Error(`expected a login, got ${step.kind}`);
    const payload = tamper({ session_token: "token", ...step.payload });
    const end = await client.receive(FrameType.AUTH_SUCCESS, payload);
    return { request, response: { data: String(answer.payload.data) }, server: step, client: end };
  }
}

describe("logging in again", () => {
  const untrusted = { kind: "failed", error: { code: ErrorCode.SERVER_NOT_TRUSTED } };

  test("runs PBKDF2 once for the server and once for its clients, also for many at the same time", async () => {
    const world = new World();
    const count = countPbkdf2(world.crypto);
    const logins = await Promise.all(Array.from({ length: 8 }, () => world.login()));
    expect(logins.every(({ client }) => client.kind === "accepted")).toBe(true);
    expect((await world.login()).client.kind).toBe("accepted");
    // The server's own keys are derived before counting starts.
    expect(count.runs).toBe(1);
  });

  test("sends nothing that an earlier login sent", async () => {
    const world = new World();
    const [one, two] = [await world.login(), await world.login()];
    expect(one.request.scram).not.toBe(two.request.scram);
    expect(one.response.data).not.toBe(two.response.data);
  });

  test("with a recorded login fails: the old answer does not fit the new challenge", async () => {
    const world = new World();
    const { request, response } = await world.login();
    const replayed = await world.server();
    expect((await replayed.receive(FrameType.AUTH_REQUEST, request)).kind).toBe("challenge");
    expect(await replayed.receive(FrameType.AUTH_RESPONSE, response)).toMatchObject({
      kind: "refused",
      code: ErrorCode.AUTH_FAILED,
      payload: { reason: "Invalid password" },
    });
  });

  test("with the answer of a concurrent login fails", async () => {
    const world = new World();
    const client = world.client();
    const request = await client.start();
    const servers = [await world.server(), await world.server()] as const;
    const challenge = await servers[0].receive(FrameType.AUTH_REQUEST, request);
    await servers[1].receive(FrameType.AUTH_REQUEST, request);
    if (challenge.kind !== "challenge") throw new Error(`expected a challenge, got ${challenge.kind}`);
    const answer = await client.receive(FrameType.AUTH_CHALLENGE, challenge.payload);
    if (answer.kind !== "send") throw new Error(`expected an answer to the challenge, got ${answer.kind}`);
    const steps = await Promise.all(servers.map((server) => server.receive(answer.type, answer.payload)));
    expect(steps.map(({ kind }) => kind)).toEqual(["accepted", "refused"]);
  });

  test.each([
    ["no signature", ({ scram: _, ...rest }: Record<string, unknown>) => rest],
    ["a signature that is no text", (payload: Record<string, unknown>) => ({ ...payload, scram: 5 })],
    [
      "another signature",
      (payload: Record<string, unknown>) => ({ ...payload, scram: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" }),
    ],
  ])("trusts no server that shows %s", async (_, tamper) => {
    expect((await new World().login(tamper)).client).toMatchObject(untrusted);
  });

  test("trusts no server that repeats the signature of an earlier login", async () => {
    const world = new World();
    let earlier: unknown;
    await world.login((payload) => {
      earlier = payload.scram;
      return payload;
    });
    const { client } = await world.login((payload) => ({ ...payload, scram: earlier }));
    expect(client).toMatchObject(untrusted);
  });
});
