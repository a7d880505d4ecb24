import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { NO_EXTENSIONS, offered } from "../connection/extensions.ts";
import { ErrorCode } from "../errors.ts";
import { passwordHash } from "../netconduit/password-hash.ts";
import { WebRuntimeCrypto } from "../test-support/web-crypto.ts";
import { FrameType } from "../wire/constants.ts";
import { ScramClient } from "./scram.ts";
import { ServerAuthenticator, ServerHandshake, type ServerStep } from "./server-handshake.ts";

const crypto = new WebRuntimeCrypto();
const password = "secret";
/** SHA-256 of "secret", as netconduit writes it. */
const hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

let strict: ServerAuthenticator;
let open: ServerAuthenticator;

beforeAll(async () => {
  const options = { password, crypto, now: () => 0, iterations: 4096 };
  strict = await ServerAuthenticator.create({ ...options, allowPasswordHash: false });
  open = await ServerAuthenticator.create({ ...options, allowPasswordHash: true });
});

async function request(
  authenticator: ServerAuthenticator,
  payload: Record<string, unknown> | null,
): Promise<ServerStep> {
  return await new ServerHandshake(authenticator, true).receive(FrameType.AUTH_REQUEST, payload);
}

function scramClient(secret = password): ScramClient {
  return new ScramClient({ username: "u", password: secret, crypto });
}

/** A login with all extensions. @returns the challenge of the next one: its nonce, and what stands beside it. */
async function loggedIn(): Promise<{ next: string; parameters: string }> {
  const handshake = new ServerHandshake(strict, true);
  const client = scramClient();
  const first = await handshake.receive(FrameType.AUTH_REQUEST, { scram: client.clientFirst, extensions: offered() });
  const challenge = first.kind === "challenge" ? first.payload.data : "";
  const step = await handshake.receive(FrameType.AUTH_RESPONSE, { data: await client.challenge(challenge) });
  if (step.kind !== "accepted") throw new Error(`expected a login, got ${step.kind}`);
  return { next: String(step.payload.next), parameters: challenge.slice(challenge.indexOf(",s=")) };
}

/** An AUTH_REQUEST that answers the challenge of the next login. */
async function ahead(secret = password): Promise<{ scram: string; proof: string; extensions: unknown }> {
  const { next, parameters } = await loggedIn();
  const client = scramClient(secret);
  const nonce = client.clientFirst.slice(client.clientFirst.indexOf("r=") + 2);
  const proof = await client.challenge(`r=${nonce}${next}${parameters}`);
  return { scram: client.clientFirst, proof, extensions: offered() };
}

/** A handshake that waits for AUTH_RESPONSE, and a right answer to its challenge. */
async function challenged(): Promise<{ handshake: ServerHandshake; data: string }> {
  const handshake = new ServerHandshake(strict, true);
  const client = scramClient();
  const step = await handshake.receive(FrameType.AUTH_REQUEST, { scram: client.clientFirst });
  if (step.kind !== "challenge") throw new Error(`expected a challenge, got ${step.kind}`);
  return { handshake, data: await client.challenge(step.payload.data) };
}

describe("ServerAuthenticator", () => {
  test("derives its keys once: logins run no PBKDF2", async () => {
    const counting = new WebRuntimeCrypto();
    const options = { password, crypto: counting, now: () => 0, iterations: 4096, allowPasswordHash: true };
    const authenticator = await ServerAuthenticator.create(options);
    for (let login = 0; login < 3; login++) {
      const handshake = new ServerHandshake(authenticator, true);
      const client = scramClient();
      const step = await handshake.receive(FrameType.AUTH_REQUEST, { scram: client.clientFirst });
      const data = await client.challenge(step.kind === "challenge" ? step.payload.data : "");
      expect((await handshake.receive(FrameType.AUTH_RESPONSE, { data })).kind).toBe("accepted");
    }
    expect(counting.pbkdf2Runs).toBe(1);
  });

  test("refuses an empty password", async () => {
    const options = { password: "", crypto, now: () => 0, allowPasswordHash: false };
    await expect(ServerAuthenticator.create(options)).rejects.toMatchObject({ code: ErrorCode.INVALID_CONFIG });
  });
});

describe("a netconduit client", () => {
  const clientInfo = { name: "conduit_client", version: "1.0.0" };

  test("sends the hash that this library computes", async () => {
    expect(await passwordHash(password, crypto)).toBe(hash);
  });

  test("is let in by its hash where that is allowed, and offered nothing", async () => {
    expect(await request(open, { password_hash: hash, client_info: clientInfo })).toEqual({
      kind: "accepted",
      method: "password-hash",
      peer: { name: "conduit_client", version: "1.0.0", description: "", netconduit: true },
      extensions: NO_EXTENSIONS,
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

  test("accepts the right answer with its own proof, and without extensions where none were offered", async () => {
    const { handshake, data } = await challenged();
    const step = await handshake.receive(FrameType.AUTH_RESPONSE, { data });
    expect(step).toMatchObject({ kind: "accepted", extensions: NO_EXTENSIONS });
    expect(step).toHaveProperty("payload", { scram: expect.stringMatching(/^v=/) });
  });

  test("names only the extensions it knows, as accepted", async () => {
    const step = await request(open, { password_hash: hash, extensions: { flow: true, later: true } });
    expect(step).toMatchObject({ peer: { netconduit: false }, extensions: { flow: true, close: false } });
    expect(step).toHaveProperty("payload", { extensions: { flow: true } });
  });

  test("keeps what a client says of itself, clipped, and ignores the rest", async () => {
    const clientInfo = { name: "n".repeat(300), version: 7, description: "d", admin: true };
    const step = await request(open, { password_hash: hash, client_info: clientInfo });
    expect(step).toHaveProperty("peer", { name: "n".repeat(256), version: "", description: "d", netconduit: true });
  });

  test.each([
    ["a payload that is no map", null],
    ["a hash that is no string", { password_hash: 5 }],
    ["a SCRAM message that is no string", { scram: ["n,,n=u,r=x"] }],
    ["a malformed SCRAM message", { scram: "hello" }],
  ])("refuses %s", async (_, payload) => {
    expect(await request(open, payload)).toMatchObject({ kind: "refused", code: ErrorCode.INVALID_PAYLOAD_SHAPE });
  });

  test("refuses a client that shows no credentials", async () => {
    expect(await request(open, { client_info: {} })).toMatchObject({ code: ErrorCode.AUTH_REQUIRED });
  });

  test.each([null, {}, { data: 5 }])("refuses the malformed AUTH_RESPONSE %j", async (payload) => {
    const { handshake } = await challenged();
    const step = await handshake.receive(FrameType.AUTH_RESPONSE, payload);
    expect(step).toMatchObject({ kind: "refused", code: ErrorCode.INVALID_PAYLOAD_SHAPE });
  });

  test("tells a stranger no more than that a proof was wrong", async () => {
    const { handshake } = await challenged();
    const step = await handshake.receive(FrameType.AUTH_RESPONSE, { data: "c=biws,r=x,p=x" });
    expect(step).toMatchObject({ code: ErrorCode.AUTH_FAILED, payload: { reason: "Invalid password" } });
    expect(step).toHaveProperty("reason", expect.stringContaining("nonce"));
  });

  test.each(Object.values(FrameType).filter((type) => type !== FrameType.AUTH_REQUEST))(
    "refuses frame type %i as the first",
    async (type) => {
      const step = await new ServerHandshake(open, true).receive(type, { password_hash: hash, data: "" });
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

  test("gives a refused client no second try", async () => {
    const handshake = new ServerHandshake(open, true);
    await handshake.receive(FrameType.AUTH_REQUEST, { password_hash: "wrong" });
    const again = await handshake.receive(FrameType.AUTH_REQUEST, { password_hash: hash });
    expect(again).toMatchObject({ kind: "refused", code: ErrorCode.UNEXPECTED_FRAME });
  });

  test("refuses a frame that comes while the one before is being worked on", async () => {
    const { handshake, data } = await challenged();
    const first = handshake.receive(FrameType.AUTH_RESPONSE, { data });
    const second = handshake.receive(FrameType.AUTH_RESPONSE, { data });
    expect([(await first).kind, (await second).kind]).toEqual(["accepted", "refused"]);
  });

  test("rejects with the runtime's error when its cryptography fails", async () => {
    const broken = new WebRuntimeCrypto();
    const options = { password, crypto: broken, now: () => 0, allowPasswordHash: false };
    const authenticator = await ServerAuthenticator.create(options);
    const failure = new Error("no entropy");
    broken.randomBytes = () => {
      throw failure;
    };
    await expect(request(authenticator, { scram: scramClient().clientFirst })).rejects.toBe(failure);
  });

  test("ends every payload in a step, and lets nobody in", async () => {
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
});

describe("a proof in AUTH_REQUEST", () => {
  test("for the challenge of an earlier login is accepted, with the server's own and the next challenge", async () => {
    const step = await request(strict, await ahead());
    expect(step).toMatchObject({ kind: "accepted", method: "scram" });
    expect(step).toHaveProperty("payload", {
      scram: expect.stringMatching(/^v=/),
      next: expect.stringMatching(/^[A-Za-z0-9+/]{24}$/),
      extensions: offered(),
    });
  });

  test("that is wrong is refused like any wrong password, and the challenge is used up", async () => {
    const wrong = await ahead("guess");
    expect(await request(strict, wrong)).toMatchObject({
      kind: "refused",
      code: ErrorCode.AUTH_FAILED,
      payload: { reason: "Invalid password", code: ErrorCode.AUTH_FAILED },
    });
    expect((await request(strict, wrong)).kind).toBe("challenge");
  });

  test("for a challenge that this server has not made is passed over", async () => {
    expect((await request(open, await ahead())).kind).toBe("challenge");
  });

  test("is passed over where the client does not offer the extension", async () => {
    const { advance: _, ...others } = offered();
    expect((await request(strict, { ...(await ahead()), extensions: others })).kind).toBe("challenge");
    const step = await request(strict, { scram: scramClient().clientFirst, proof: 5, extensions: others });
    expect(step.kind).toBe("challenge");
  });

  test("is passed over where the extension is not allowed, and no other challenge is handed out", async () => {
    const handshake = new ServerHandshake(strict, false);
    expect((await handshake.receive(FrameType.AUTH_REQUEST, await ahead())).kind).toBe("challenge");
    const client = scramClient();
    const second = new ServerHandshake(strict, false);
    const step = await second.receive(FrameType.AUTH_REQUEST, { scram: client.clientFirst, extensions: offered() });
    if (step.kind !== "challenge") throw new Error(`expected a challenge, got ${step.kind}`);
    const data = await client.challenge(step.payload.data);
    const { advance: _, ...others } = offered();
    const end = await second.receive(FrameType.AUTH_RESPONSE, { data });
    expect(end).toHaveProperty("payload", { scram: expect.stringMatching(/^v=/), extensions: others });
  });

  test("uses its challenge up when it arrives, and is judged when its turn comes", async () => {
    const payload = await ahead();
    const handshake = new ServerHandshake(strict, true);
    handshake.arrived(payload);
    expect((await request(strict, payload)).kind).toBe("challenge");
    expect((await handshake.receive(FrameType.AUTH_REQUEST, payload)).kind).toBe("accepted");
  });

  test("alone is no login", async () => {
    const { proof, extensions } = await ahead();
    expect(await request(strict, { proof, extensions })).toMatchObject({ code: ErrorCode.AUTH_REQUIRED });
  });

  test.each([
    ["no text", () => 5],
    ["no SCRAM message", () => "hello"],
    ["without a nonce", (proof: string) => proof.replace(/,r=[^,]*/, "")],
    ["without a proof", (proof: string) => proof.replace(/,p=.*/, "")],
    ["with a short proof", (proof: string) => proof.replace(/,p=.*/, ",p=AAAA")],
    ["with a channel binding", (proof: string) => proof.replace("c=biws", "c=eSws")],
    ["for another client's nonce", (proof: string) => proof.replace(",r=", ",r=x")],
  ])("that is %s is refused as malformed, and the challenge is not used up", async (_, change) => {
    const right = await ahead();
    const step = await request(strict, { ...right, proof: change(right.proof) });
    expect(step).toMatchObject({ kind: "refused", code: ErrorCode.INVALID_PAYLOAD_SHAPE });
    expect((await request(strict, right)).kind).toBe("accepted");
  });

  test("whatever it is ends in a step, and lets nobody in", async () => {
    const { scram, extensions, proof } = await ahead("guess");
    const garbage = fc.oneof(
      fc.anything(),
      fc.string(),
      fc.string().map((text) => proof.slice(0, 20) + text),
    );
    await fc.assert(
      fc.asyncProperty(garbage, async (other) => {
        const step = await request(strict, { scram, proof: other, extensions });
        expect(step.kind).toMatch(/^(refused|challenge)$/);
      }),
    );
  });
});
