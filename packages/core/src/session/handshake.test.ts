import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { WebRuntimeCrypto } from "../test-support/web-crypto.ts";
import { FrameType } from "../wire/constants.ts";
import { extensionNames } from "./extensions.ts";
import {
  ClientHandshake,
  type ClientStep,
  ServerAuthenticator,
  ServerHandshake,
  type ServerStep,
} from "./handshake.ts";
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
    iterations,
    allowPasswordHash: serverAllows,
  });
  const cache = new ScramKeyCache();
  const server = new ServerHandshake(authenticator);
  const client = new ClientHandshake({
    password: clientPassword,
    info,
    allowPasswordHash: clientAllows,
    crypto,
    cache,
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
