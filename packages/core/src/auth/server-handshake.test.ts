import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { passwordHash } from "../netconduit/password-hash.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { countPbkdf2 } from "../test-support/pbkdf2-runs.ts";
import { FrameType } from "../wire/constants.ts";
import { ScramClient } from "./scram.ts";
import { deriveServerKeys } from "./scram-keys.ts";
import { ServerAuthenticator, ServerHandshake, type ServerStep } from "./server-handshake.ts";
import { type Identity, NOBODY } from "./user.ts";
import type { Users } from "./users.ts";

const { crypto } = fakeRuntime();
const transport = { remote: { kind: "memory", name: "peer" }, tls: null } as const;
const iterations = 4096;
const password = "secret";
/** SHA-256 of "secret" in netconduit's format. */
const hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

let strict: ServerAuthenticator;
let open: ServerAuthenticator;

beforeAll(async () => {
  const options = { password, crypto, iterations };
  strict = await ServerAuthenticator.create({ ...options, allowPasswordHash: false });
  open = await ServerAuthenticator.create({ ...options, allowPasswordHash: true });
});

async function request(
  authenticator: ServerAuthenticator,
  payload: Record<string, unknown> | null,
): Promise<ServerStep> {
  return await new ServerHandshake(authenticator, transport).receive(FrameType.AUTH_REQUEST, payload);
}

function scramClient(secret = password): ScramClient {
  return new ScramClient(secret, crypto);
}

/** Returns a handshake that waits for AUTH_RESPONSE, and the answer to its challenge for the given password. */
async function challenged({
  authenticator = strict,
  secret = password,
  fields = {},
}: {
  authenticator?: ServerAuthenticator;
  secret?: string;
  fields?: Record<string, unknown>;
} = {}): Promise<{ handshake: ServerHandshake; data: string }> {
  const handshake = new ServerHandshake(authenticator, transport);
  const client = scramClient(secret);
  const step = await handshake.receive(FrameType.AUTH_REQUEST, { ...fields, scram: client.clientFirst });
  if (step.kind !== "challenge") throw new Error(`expected a challenge, got ${step.kind}`);
  return { handshake, data: await client.challenge(String(step.payload.data)) };
}

describe("ServerAuthenticator", () => {
  test("derives its keys once: logins run no PBKDF2", async () => {
    const own = fakeRuntime().crypto;
    const count = countPbkdf2(own);
    const options = { password, crypto: own, iterations, allowPasswordHash: true };
    const authenticator = await ServerAuthenticator.create(options);
    for (let login = 0; login < 3; login++) {
      const { handshake, data } = await challenged({ authenticator });
      expect((await handshake.receive(FrameType.AUTH_RESPONSE, { data })).kind).toBe("accepted");
    }
    expect(count.runs).toBe(1);
  });

  test("refuses an empty password", async () => {
    const options = { password: "", crypto, iterations, allowPasswordHash: false };
    await expect(ServerAuthenticator.create(options)).rejects.toMatchObject({ code: ErrorCode.INVALID_CONFIG });
  });
});

describe("a netconduit client", () => {
  const clientInfo = { name: "conduit_client", version: "1.0.0" };

  test("sends the hash that this library computes", async () => {
    expect(passwordHash(password, crypto)).toBe(hash);
  });

  test("is let in by its hash where that is allowed, and offers nothing", async () => {
    expect(await request(open, { password_hash: hash, client_info: clientInfo })).toEqual({
      kind: "accepted",
      user: NOBODY["password-hash"],
      peer: { name: "conduit_client", version: "1.0.0", description: "", netconduit: true },
      offer: undefined,
      payload: {},
    });
  });

  test("is told netconduit's words for a wrong password", async () => {
    const step = await request(open, { password_hash: hash.replace("2", "3"), client_info: clientInfo });
    expect(step).toMatchObject({ kind: "refused", payload: { reason: "Invalid password", code: 3001 } });
  });

  test.each([hash.toUpperCase(), hash.slice(1), `${hash}0`, ""])("is not let in by %j", async (wrong) => {
    expect(await request(open, { password_hash: wrong })).toMatchObject({ code: ErrorCode.AUTH_FAILED });
  });

  test("is refused by default, with the name of the option that lets it in", async () => {
    const step = await request(strict, { password_hash: hash, client_info: clientInfo });
    expect(step).toMatchObject({ kind: "refused", code: ErrorCode.PASSWORD_HASH_REFUSED });
    expect(step).toMatchObject({ payload: { reason: expect.stringContaining("allowPasswordHash: true") } });
  });
});

describe("ServerHandshake", () => {
  test("challenges a client that offers SCRAM, even with a right hash beside it", async () => {
    const step = await request(open, { password_hash: hash, scram: scramClient().clientFirst });
    expect(step.kind).toBe("challenge");
  });

  test("ignores the hash once it has challenged: a wrong answer with a right hash is refused", async () => {
    const fields = { password_hash: hash };
    const { handshake, data } = await challenged({ authenticator: open, secret: "guess", fields });
    const step = await handshake.receive(FrameType.AUTH_RESPONSE, { data, password_hash: hash });
    expect(step).toMatchObject({ kind: "refused", code: ErrorCode.AUTH_FAILED });
  });

  test("accepts the right answer with its own proof", async () => {
    const { handshake, data } = await challenged();
    const step = await handshake.receive(FrameType.AUTH_RESPONSE, { data });
    expect(step).toEqual({
      kind: "accepted",
      user: NOBODY.scram,
      peer: { name: "", version: "", description: "", netconduit: true },
      offer: undefined,
      payload: { scram: expect.stringMatching(/^v=/) },
    });
  });

  test("passes on the extensions that were offered with AUTH_REQUEST, as they came", async () => {
    const offer = { flow: true, later: [1] };
    const { handshake, data } = await challenged({ fields: { extensions: offer } });
    const step = await handshake.receive(FrameType.AUTH_RESPONSE, { data, extensions: { other: true } });
    expect(step).toMatchObject({ kind: "accepted", peer: { netconduit: false } });
    expect(step).toHaveProperty("offer", offer);
  });

  test("keeps a client's info, clipped, and ignores other fields", async () => {
    const clientInfo = { name: "n".repeat(300), version: 7, description: "d", admin: true };
    const step = await request(open, { password_hash: hash, client_info: clientInfo });
    expect(step).toHaveProperty("peer", { name: "n".repeat(256), version: "", description: "d", netconduit: true });
  });

  test.each([
    ["a payload that is no map", null],
    ["a hash that is no string", { password_hash: 5 }],
    ["a SCRAM message that is no string", { scram: ["n,,n=u,r=x"] }],
    ["a malformed SCRAM message", { scram: "hello" }],
    ["a hash that is no string, beside SCRAM", { scram: "n,,n=u,r=x", password_hash: 5 }],
  ])("refuses %s", async (_, payload) => {
    expect(await request(open, payload)).toMatchObject({ kind: "refused", code: ErrorCode.INVALID_PAYLOAD_SHAPE });
  });

  test("refuses a client without credentials", async () => {
    expect(await request(open, { client_info: {} })).toMatchObject({ code: ErrorCode.AUTH_REQUIRED });
  });

  test.each([null, {}, { data: 5 }])("refuses the malformed AUTH_RESPONSE %j", async (payload) => {
    const { handshake } = await challenged();
    const step = await handshake.receive(FrameType.AUTH_RESPONSE, payload);
    expect(step).toMatchObject({ kind: "refused", code: ErrorCode.INVALID_PAYLOAD_SHAPE });
  });

  test("tells the peer only that the proof was wrong", async () => {
    const { handshake } = await challenged();
    const step = await handshake.receive(FrameType.AUTH_RESPONSE, { data: `c=biws,r=x,p=${"A".repeat(43)}=` });
    expect(step).toMatchObject({ code: ErrorCode.AUTH_FAILED, payload: { reason: "Invalid password" } });
    expect(step).toHaveProperty("reason", expect.stringContaining("nonce"));
  });

  test.each(Object.values(FrameType).filter((type) => type !== FrameType.AUTH_REQUEST))(
    "refuses frame type %i as the first",
    async (type) => {
      const step = await new ServerHandshake(open, transport).receive(type, { password_hash: hash, data: "" });
      expect(step).toMatchObject({ kind: "refused", code: ErrorCode.UNEXPECTED_FRAME });
    },
  );

  test.each([FrameType.AUTH_REQUEST, FrameType.MESSAGE, FrameType.AUTH_SUCCESS])(
    "refuses frame type %i in answer to a challenge",
    async (type) => {
      const { handshake, data } = await challenged();
      const step = await handshake.receive(type, { data, password_hash: hash });
      expect(step).toMatchObject({ kind: "refused", code: ErrorCode.UNEXPECTED_FRAME });
    },
  );

  test("gives a refused client no second attempt", async () => {
    const handshake = new ServerHandshake(open, transport);
    await handshake.receive(FrameType.AUTH_REQUEST, { password_hash: "wrong" });
    const again = await handshake.receive(FrameType.AUTH_REQUEST, { password_hash: hash });
    expect(again).toMatchObject({ kind: "refused", code: ErrorCode.UNEXPECTED_FRAME });
  });

  test("judges a proof at once, so no guess is under way while another login comes", async () => {
    const [right, wrong] = [await challenged(), await challenged({ secret: "guess" })];
    expect(right.handshake.guess(FrameType.AUTH_RESPONSE, { data: right.data })).toMatchObject({ kind: "accepted" });
    expect(wrong.handshake.guess(FrameType.AUTH_RESPONSE, { data: wrong.data })).toMatchObject({ kind: "refused" });
  });

  test("uses up its challenge with the first answer: a second token is refused while the first is checked", async () => {
    const held = gate();
    const token = async (): Promise<Identity> => {
      await held.promise;
      return { name: "ada", roles: [] };
    };
    const options = { password: null, token, crypto, iterations, allowPasswordHash: false };
    const handshake = new ServerHandshake(await ServerAuthenticator.create(options), transport);
    await handshake.receive(FrameType.AUTH_REQUEST, { methods: ["token"] });
    const first = handshake.receive(FrameType.AUTH_RESPONSE, { token: "one" });
    const second = await handshake.receive(FrameType.AUTH_RESPONSE, { token: "two" });
    expect(second).toMatchObject({ kind: "refused", code: ErrorCode.UNEXPECTED_FRAME });
    held.open();
    expect((await first).kind).toBe("accepted");
  });

  test("lets nobody in for a name that doesn't exist, even if its made-up keys were known", async () => {
    const keys = await deriveServerKeys(password, iterations, crypto);
    const users = { find: async () => ({ keys, user: null }) } as unknown as Users;
    const options = { password: null, users, crypto, iterations, allowPasswordHash: false };
    const { handshake, data } = await challenged({ authenticator: await ServerAuthenticator.create(options) });
    expect(await handshake.receive(FrameType.AUTH_RESPONSE, { data })).toMatchObject({
      kind: "refused",
      payload: { code: ErrorCode.AUTH_FAILED, reason: "Invalid password" },
    });
  });

  test.each([
    ["that wasn't verified", { protocol: "TLSv1.3", peerVerified: false, peerName: "ada" }],
    ["without TLS", null],
  ])("doesn't ask who a certificate stands for %s", async (_, tls) => {
    const certificate = (): Identity => {
      throw new Error("must not be asked");
    };
    const options = { password: null, certificate, crypto, iterations, allowPasswordHash: false };
    const handshake = new ServerHandshake(await ServerAuthenticator.create(options), { ...transport, tls });
    expect(await handshake.receive(FrameType.AUTH_REQUEST, { methods: ["certificate"] })).toMatchObject({
      kind: "refused",
      code: ErrorCode.LOGIN_METHOD_REFUSED,
    });
  });

  test.each([
    ["at the end of its time", 1000, "refused"],
    ["a millisecond before", 1001, "accepted"],
  ])("judges an identity of a token %s", async (_, expiresAt, kind) => {
    const options = {
      password: null,
      token: () => ({ name: "ada", expiresAt }),
      wallClock: () => 1000,
      crypto,
      iterations,
      allowPasswordHash: false,
    };
    const handshake = new ServerHandshake(await ServerAuthenticator.create(options), transport);
    await handshake.receive(FrameType.AUTH_REQUEST, { methods: ["token"] });
    expect((await handshake.receive(FrameType.AUTH_RESPONSE, { token: "t" })).kind).toBe(kind);
  });

  test.each([
    ["a wrong answer", "guess"],
    ["the right one", password],
  ])("lets its challenge be answered once: nothing is looked at after %s", async (_, secret) => {
    const { handshake, data } = await challenged({ secret });
    await handshake.receive(FrameType.AUTH_RESPONSE, { data });
    const again = await handshake.receive(FrameType.AUTH_RESPONSE, { data });
    expect(again).toMatchObject({ kind: "refused", code: ErrorCode.UNEXPECTED_FRAME });
  });

  test("refuses an answer that another login's challenge was given", async () => {
    const { data } = await challenged();
    const { handshake } = await challenged();
    expect(await handshake.receive(FrameType.AUTH_RESPONSE, { data })).toMatchObject({
      code: ErrorCode.AUTH_FAILED,
      payload: { reason: "Invalid password" },
    });
  });

  test("fails when the runtime's cryptography does, and then accepts nothing", async () => {
    const broken = { ...crypto };
    const options = { password, crypto: broken, iterations, allowPasswordHash: false };
    const { handshake, data } = await challenged({ authenticator: await ServerAuthenticator.create(options) });
    const hmacSha256 = (): never => {
      throw new Error("out of memory");
    };
    Object.assign(broken, { hmacSha256 });
    expect(() => handshake.receive(FrameType.AUTH_RESPONSE, { data })).toThrow("out of memory");
    Object.assign(broken, { hmacSha256: crypto.hmacSha256 });
    const again = await handshake.receive(FrameType.AUTH_RESPONSE, { data });
    expect(again).toMatchObject({ kind: "refused", code: ErrorCode.UNEXPECTED_FRAME });
  });

  test("answers any payload with a step, and never with a login", async () => {
    const payload = fc.record(
      {
        password_hash: fc.oneof(fc.string(), fc.anything()),
        scram: fc.oneof(fc.string(), fc.constant("n,,n=u,r=x"), fc.anything()),
        client_info: fc.anything(),
        extensions: fc.anything(),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(payload, async (garbage) => {
        expect((await request(open, garbage)).kind).toMatch(/^(refused|challenge)$/);
      }),
    );
  });

  test("answers any response to a challenge with a step, and never with a login", async () => {
    const garbage = fc.oneof(
      fc.anything(),
      fc.string(),
      fc.string().map((text) => `c=biws,r=${text}`),
    );
    await fc.assert(
      fc.asyncProperty(garbage, async (answer) => {
        const { handshake } = await challenged();
        expect((await handshake.receive(FrameType.AUTH_RESPONSE, { data: answer })).kind).toBe("refused");
      }),
    );
  });
});
