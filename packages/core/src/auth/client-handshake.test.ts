import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { FrameType } from "../wire/constants.ts";
import { ClientHandshake, type ClientStep, type LoginCredentials } from "./client-handshake.ts";
import { ScramServer } from "./scram.ts";
import { deriveServerKeys, type ScramServerKeys } from "./scram-keys.ts";

const { crypto } = fakeRuntime();
const offer = { reply: true, flow: true };
const password = "secret";
const hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
const success = { session_token: "token", server_info: { name: "conduit_server", version: "1.0.0" } };

let keys: ScramServerKeys;

beforeAll(async () => {
  keys = await deriveServerKeys(password, 4096, crypto);
});

function fresh(allowPasswordHash: boolean, description = "", onCrypto = crypto): ClientHandshake {
  const info = { name: "probe", version: "1.2.3", description };
  return new ClientHandshake({ credentials: { password }, info, offer, allowPasswordHash, crypto: onCrypto });
}

async function started(allowPasswordHash: boolean): Promise<ClientHandshake> {
  const client = fresh(allowPasswordHash);
  client.start();
  return client;
}

/** Creates a client that has answered a server's challenge. Returns it with the server's proof. */
async function answered(
  allowPasswordHash: boolean,
  serverKeys: ScramServerKeys = keys,
): Promise<{ client: ClientHandshake; scram: string }> {
  const client = fresh(allowPasswordHash);
  const server = new ScramServer(serverKeys, crypto);
  const { scram } = client.start();
  const step = await client.receive(FrameType.AUTH_CHALLENGE, { data: server.first(String(scram)) });
  if (step.kind !== "send") throw new Error(`expected an answer to the challenge, got ${step.kind}`);
  // A server with another password rejects the answer; its own proof isn't valid for this password.
  return { client, scram: proofOf(server, String(step.payload.data)) };
}

/** Returns the server's proof; empty if it rejects the answer. */
function proofOf(server: ScramServer, answer: string): string {
  try {
    return server.final(answer);
  } catch {
    return "";
  }
}

function failure(code: number): unknown {
  return { kind: "failed", error: expect.objectContaining({ code }) };
}

describe("AUTH_REQUEST", () => {
  test("carries SCRAM and no hash by default", async () => {
    const payload = fresh(false).start();
    expect(Object.keys(payload)).toEqual(["client_info", "scram", "extensions"]);
    expect(payload.scram).toMatch(/^n,,n=netconduit,r=/);
    expect(payload.client_info).toEqual({ name: "probe", version: "1.2.3" });
    expect(payload.extensions).toEqual(offer);
  });

  test("carries netconduit's keys first where the hash is allowed", async () => {
    const payload = fresh(true).start();
    expect(Object.keys(payload)).toEqual(["password_hash", "client_info", "scram", "extensions"]);
    expect(payload.password_hash).toBe(hash);
  });

  test("carries the description if there is one", async () => {
    const payload = fresh(false, "a probe").start();
    expect(payload.client_info).toEqual({ name: "probe", version: "1.2.3", description: "a probe" });
  });

  test("is made once", async () => {
    const client = await started(false);
    expect(() => client.start()).toThrow(expect.objectContaining({ code: ErrorCode.INVALID_STATE }));
  });
});

describe("a netconduit server", () => {
  test("is accepted by a client that allows the hash", async () => {
    const client = await started(true);
    expect(await client.receive(FrameType.AUTH_SUCCESS, success)).toEqual({
      kind: "accepted",
      sessionToken: "token",
      server: { name: "conduit_server", version: "1.0.0", description: "", netconduit: true },
      extensions: undefined,
      method: "password-hash",
    });
  });

  test("that refuses a client which sent no hash is recognized, and the option is named", async () => {
    const client = await started(false);
    const step = await client.receive(FrameType.AUTH_FAILURE, { reason: "Invalid password" });
    expect(step).toEqual(failure(ErrorCode.PASSWORD_HASH_REFUSED));
    expect(step).toMatchObject({ error: { message: expect.stringContaining("allowPasswordHash: true") } });
  });

  test("that refuses the hash says that the password is wrong", async () => {
    const client = await started(true);
    const step = await client.receive(FrameType.AUTH_FAILURE, { reason: "Invalid password" });
    expect(step).toEqual(failure(ErrorCode.AUTH_FAILED));
  });
});

describe("a server that does not prove itself", () => {
  const untrusted = failure(ErrorCode.SERVER_NOT_TRUSTED);

  test.each([success, { ...success, scram: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" }])(
    "is not trusted when it accepts without a challenge: %j",
    async (payload) => {
      expect(await (await started(false)).receive(FrameType.AUTH_SUCCESS, payload)).toEqual(untrusted);
    },
  );

  test.each([false, true])("is not trusted when its proof is missing (hash allowed: %s)", async (allows) => {
    const { client } = await answered(allows);
    expect(await client.receive(FrameType.AUTH_SUCCESS, success)).toEqual(untrusted);
  });

  test.each([false, true])("is not trusted when it knows another password (hash allowed: %s)", async (allows) => {
    const { client } = await answered(allows, await deriveServerKeys("another", 4096, crypto, keys.salt));
    const scram = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    expect(await client.receive(FrameType.AUTH_SUCCESS, { ...success, scram })).toEqual(untrusted);
  });

  test.each([
    ["asks for few iterations", (nonce: string) => `r=${nonce}more,s=AAAA,i=1`],
    ["asks for very many iterations", (nonce: string) => `r=${nonce}more,s=AAAA,i=1000001`],
    ["does not extend the nonce", (nonce: string) => `r=${nonce},s=AAAA,i=4096`],
    ["has another nonce", () => "r=other,s=AAAA,i=4096"],
  ])("is not trusted when it %s", async (_, challenge) => {
    const client = fresh(false);
    const { scram } = client.start();
    const data = challenge(String(scram).split("r=")[1] ?? "");
    expect(await client.receive(FrameType.AUTH_CHALLENGE, { data })).toEqual(untrusted);
  });

  test.each([false, true])(
    "is not trusted when it repeats the proof of an earlier login (hash allowed: %s)",
    async (allows) => {
      const earlier = await answered(allows);
      const { client } = await answered(allows);
      const step = await client.receive(FrameType.AUTH_SUCCESS, { ...success, scram: earlier.scram });
      expect(step).toEqual(untrusted);
    },
  );

  test("is not accepted once it has failed", async () => {
    const { client, scram } = await answered(false);
    await client.receive(FrameType.AUTH_SUCCESS, success);
    const step = await client.receive(FrameType.AUTH_SUCCESS, { ...success, scram });
    expect(step).toEqual(failure(ErrorCode.UNEXPECTED_FRAME));
  });
});

describe("AUTH_FAILURE", () => {
  test.each([
    ErrorCode.AUTH_FAILED,
    ErrorCode.SERVER_FULL,
    ErrorCode.AUTH_TIMEOUT,
    ErrorCode.PASSWORD_HASH_REFUSED,
    ErrorCode.SERVER_STOPPING,
    ErrorCode.RATE_LIMITED,
  ])("with code %i becomes an error with that code and the server's reason", async (code) => {
    const step = await (await started(false)).receive(FrameType.AUTH_FAILURE, { reason: "because", code });
    expect(step).toEqual(failure(code));
    expect(step).toMatchObject({ error: { message: expect.stringContaining("because") } });
  });

  test.each([ErrorCode.HEARTBEAT_TIMEOUT, 99_999, "3010", null])("with code %j is AUTH_FAILED", async (code) => {
    const step = await (await started(false)).receive(FrameType.AUTH_FAILURE, { reason: "because", code });
    expect(step).toEqual(failure(ErrorCode.AUTH_FAILED));
    expect(step).toMatchObject({ error: { details: { code } } });
  });

  test("without a code is AUTH_FAILED after a challenge", async () => {
    const { client } = await answered(false);
    const step = await client.receive(FrameType.AUTH_FAILURE, { reason: "no" });
    expect(step).toEqual(failure(ErrorCode.AUTH_FAILED));
  });

  test("is understood without a payload", async () => {
    const step = await (await started(true)).receive(FrameType.AUTH_FAILURE, null);
    expect(step).toEqual(failure(ErrorCode.AUTH_FAILED));
  });

  test("counts while the key of the password is derived, and the answer is not sent", async () => {
    const client = fresh(false, "", fakeRuntime().crypto);
    const { scram } = client.start();
    const data = new ScramServer(keys, crypto).first(String(scram));
    const answer = client.receive(FrameType.AUTH_CHALLENGE, { data });
    const end = client.receive(FrameType.AUTH_FAILURE, { reason: "stopping", code: ErrorCode.SERVER_STOPPING });
    expect(await end).toEqual(failure(ErrorCode.SERVER_STOPPING));
    expect((await answer).kind).toBe("failed");
  });
});

describe("ClientHandshake", () => {
  test("answers a challenge at once if the key of the password is known", async () => {
    await answered(false);
    const client = fresh(false);
    const data = new ScramServer(keys, crypto).first(String(client.start().scram));
    expect(client.receive(FrameType.AUTH_CHALLENGE, { data })).toMatchObject({ kind: "send" });
  });

  test("accepts a server that proves itself", async () => {
    const { client, scram } = await answered(false);
    const payload = { ...success, scram, extensions: { reply: true, later: true } };
    expect(await client.receive(FrameType.AUTH_SUCCESS, payload)).toMatchObject({
      kind: "accepted",
      method: "scram",
      server: { netconduit: false },
      extensions: { reply: true, later: true },
    });
  });

  test.each<[string, LoginCredentials, boolean]>([
    ["that accepts it before its token was sent", { token: "t" }, false],
    ["that challenges a login by certificate", { certificate: true }, true],
  ])("refuses a server %s", async (_, credentials, isChallenged) => {
    const info = { name: "probe", version: "1", description: "" };
    const client = new ClientHandshake({ credentials, info, offer, allowPasswordHash: false, crypto });
    client.start();
    const step = isChallenged
      ? client.receive(FrameType.AUTH_CHALLENGE, { methods: ["token"] })
      : client.receive(FrameType.AUTH_SUCCESS, success);
    expect(await step).toEqual(failure(ErrorCode.UNEXPECTED_FRAME));
  });

  test("refuses an empty password", () => {
    const info = { name: "probe", version: "1", description: "" };
    const make = (): ClientHandshake =>
      new ClientHandshake({ credentials: { password: "" }, info, offer, allowPasswordHash: false, crypto });
    expect(make).toThrow(expect.objectContaining({ code: ErrorCode.INVALID_CONFIG }));
  });

  test.each([
    ["no payload", null],
    ["no token", { server_info: {} }],
    ["a token that is no string", { session_token: 5 }],
    ["a token with which no login would fit a frame", { session_token: "x".repeat(1025) }],
  ])("refuses an AUTH_SUCCESS with %s", async (_, payload) => {
    const step = await (await started(true)).receive(FrameType.AUTH_SUCCESS, payload);
    expect(step).toEqual(failure(ErrorCode.INVALID_PAYLOAD_SHAPE));
  });

  test.each([null, {}, { data: 5 }, { data: "hello" }])("refuses the malformed challenge %j", async (payload) => {
    const step = await (await started(false)).receive(FrameType.AUTH_CHALLENGE, payload);
    expect(step).toEqual(failure(ErrorCode.INVALID_PAYLOAD_SHAPE));
  });

  const handshakeTypes: number[] = [FrameType.AUTH_CHALLENGE, FrameType.AUTH_SUCCESS, FrameType.AUTH_FAILURE];

  test.each(Object.values(FrameType).filter((type) => !handshakeTypes.includes(type)))(
    "fails with UNEXPECTED_FRAME for frame type %i",
    async (type) => {
      const step = await (await started(true)).receive(type, success);
      expect(step).toEqual(failure(ErrorCode.UNEXPECTED_FRAME));
    },
  );

  test("fails with NOT_NETCONDUIT for an unassigned frame type", async () => {
    expect(await (await started(true)).receive(0x7777, success)).toEqual(failure(ErrorCode.NOT_NETCONDUIT));
  });

  test.each(handshakeTypes)("fails with UNEXPECTED_FRAME for frame type %i before AUTH_REQUEST", async (type) => {
    expect(await fresh(true).receive(type, success)).toEqual(failure(ErrorCode.UNEXPECTED_FRAME));
  });

  test("rejects when the runtime's cryptography does, and then accepts nothing", async () => {
    const broken = { ...crypto, pbkdf2Sha256: () => Promise.reject(new Error("out of memory")) };
    const info = { name: "probe", version: "1", description: "" };
    const client = new ClientHandshake({
      credentials: { password },
      info,
      offer,
      allowPasswordHash: true,
      crypto: broken,
    });
    const { scram } = client.start();
    const data = new ScramServer(keys, crypto).first(String(scram));
    await expect(client.receive(FrameType.AUTH_CHALLENGE, { data })).rejects.toThrow("out of memory");
    expect(await client.receive(FrameType.AUTH_SUCCESS, success)).toEqual(failure(ErrorCode.UNEXPECTED_FRAME));
  });

  test("refuses a second challenge", async () => {
    const { client } = await answered(false);
    const step = await client.receive(FrameType.AUTH_CHALLENGE, { data: "r=x,s=AAAA,i=4096" });
    expect(step).toEqual(failure(ErrorCode.UNEXPECTED_FRAME));
  });

  test("accepts no server before it proves itself, whatever it sends", async () => {
    const payload = fc.oneof(
      fc.constant(null),
      fc.dictionary(fc.constantFrom("session_token", "scram", "data", "code", "reason", "extensions"), fc.anything()),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...Object.values(FrameType)), payload, async (type, garbage) => {
        const step: ClientStep = await (await started(false)).receive(type, garbage);
        expect(step.kind).toBe("failed");
      }),
    );
  });
});
