import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { WebRuntimeCrypto } from "../test-support/web-crypto.ts";
import { decodeBase64 } from "./base64.ts";
import { constantTimeEqual, ScramClient, ScramKeyCache, ScramServer, ScramServerKeys } from "./scram.ts";

const crypto = new WebRuntimeCrypto();
const iterations = 4096;

// RFC 7677, section 3.
const rfc = {
  username: "user",
  password: "pencil",
  clientNonce: "rOprNGfwEbeRWgbNEkqO",
  serverNonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
  salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
  clientFirst: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
  serverFirst: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
  clientFinal:
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
  serverFinal: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
};

const rfcKeys = ScramServerKeys.derive({
  password: rfc.password,
  crypto,
  iterations,
  salt: decodeBase64(rfc.salt) as Uint8Array,
});

function rfcClient(password = rfc.password): ScramClient {
  return new ScramClient({ username: rfc.username, password, crypto, nonce: rfc.clientNonce });
}

async function rfcServer(): Promise<ScramServer> {
  return new ScramServer(await rfcKeys, crypto, rfc.serverNonce);
}

/** A server that has sent its challenge. */
async function challenged(): Promise<ScramServer> {
  const server = await rfcServer();
  await server.first(rfc.clientFirst);
  return server;
}

const untrusted: unknown = expect.objectContaining({ code: ErrorCode.SERVER_NOT_TRUSTED });
const badShape: unknown = expect.objectContaining({ code: ErrorCode.INVALID_PAYLOAD_SHAPE });
const badConfig: unknown = expect.objectContaining({ code: ErrorCode.INVALID_CONFIG });

/** `text` with the character at `index` replaced by another one of the same kind. */
function flipped(text: string, index: number): string {
  const replacement = text[index] === "A" ? "B" : "A";
  return text.slice(0, index) + replacement + text.slice(index + 1);
}

describe("the example of RFC 7677", () => {
  test("is what the client says", async () => {
    const client = rfcClient();
    expect(client.clientFirst).toBe(rfc.clientFirst);
    expect(await client.challenge(rfc.serverFirst)).toBe(rfc.clientFinal);
    expect(() => client.verify(rfc.serverFinal)).not.toThrow();
  });

  test("is what the server says", async () => {
    const server = await rfcServer();
    expect(await server.first(rfc.clientFirst)).toBe(rfc.serverFirst);
    expect(await server.final(rfc.clientFinal)).toEqual({ ok: true, serverFinal: rfc.serverFinal });
  });
});

describe("a login", () => {
  async function login(serverPassword: string, clientPassword: string): Promise<boolean> {
    const keys = await ScramServerKeys.derive({ password: serverPassword, crypto, iterations });
    const server = new ScramServer(keys, crypto);
    const client = new ScramClient({ username: "a=b,c", password: clientPassword, crypto });
    const result = await server.final(await client.challenge(await server.first(client.clientFirst)));
    if (result.ok) client.verify(result.serverFinal);
    return result.ok;
  }

  const password = fc.oneof(fc.string({ minLength: 1 }), fc.string({ minLength: 1, unit: "binary" }));

  test("succeeds with any password, Unicode included, if both sides have the same", async () => {
    await fc.assert(
      fc.asyncProperty(password, async (secret) => {
        expect(await login(secret, secret)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  test("fails with any other password", async () => {
    await fc.assert(
      fc.asyncProperty(password, password, async (one, other) => {
        fc.pre(one.normalize("NFKC") !== other.normalize("NFKC"));
        expect(await login(one, other)).toBe(false);
      }),
      { numRuns: 40 },
    );
  });

  test("takes the same password in another Unicode form", async () => {
    expect(await login("p\u00e4ss\ufb01", "pa\u0308ssfi")).toBe(true);
  });

  test("differs each time: no nonce is used twice", async () => {
    const [one, two] = [1, 2].map(() => new ScramClient({ username: "u", password: "p", crypto }).clientFirst);
    expect(one).not.toBe(two);
    const [first, second] = [new ScramServer(await rfcKeys, crypto), new ScramServer(await rfcKeys, crypto)];
    expect(await first.first(rfc.clientFirst)).not.toBe(await second.first(rfc.clientFirst));
  });
});

describe("ScramClient", () => {
  test("refuses an empty password and an empty user name", () => {
    expect(() => new ScramClient({ username: "u", password: "", crypto })).toThrow(badConfig);
    expect(() => new ScramClient({ username: "", password: "p", crypto })).toThrow(badConfig);
  });

  test("escapes the user name", () => {
    const client = new ScramClient({ username: "a=b,c", password: "p", crypto, nonce: "n" });
    expect(client.clientFirst).toBe("n,,n=a=3Db=2Cc,r=n");
  });

  const [nonce, salt] = [`${rfc.clientNonce}${rfc.serverNonce}`, rfc.salt];

  test.each([
    ["fewer iterations than 4096", `r=${nonce},s=${salt},i=4095`],
    ["more iterations than a million", `r=${nonce},s=${salt},i=1000001`],
    ["a nonce that does not extend its own", `r=X${nonce},s=${salt},i=4096`],
    ["its own nonce, not extended", `r=${rfc.clientNonce},s=${salt},i=4096`],
  ])("does not trust a server that sends %s", async (_, serverFirst) => {
    await expect(rfcClient().challenge(serverFirst)).rejects.toEqual(untrusted);
  });

  test.each([
    ["nothing", ""],
    ["no salt", `r=${nonce},i=4096`],
    ["no iterations", `r=${nonce},s=${salt}`],
    ["its attributes in another order", `s=${salt},r=${nonce},i=4096`],
    ["an empty salt", `r=${nonce},s=,i=4096`],
    ["a salt that is not base64", `r=${nonce},s=W22,i=4096`],
    ["iterations that are no integer", `r=${nonce},s=${salt},i=4096.5`],
    ["iterations with a leading zero", `r=${nonce},s=${salt},i=04096`],
    ["iterations in hexadecimal", `r=${nonce},s=${salt},i=0x4096`],
    ["iterations beyond any integer", `r=${nonce},s=${salt},i=99999999999999999999`],
    ["an unknown mandatory extension", `m=ext,r=${nonce},s=${salt},i=4096`],
    ["a mandatory extension at the end", `r=${nonce},s=${salt},i=4096,m=ext`],
    ["an attribute twice", `r=${nonce},s=${salt},i=4096,i=4096`],
    ["an attribute without a value", `r=${nonce},s=${salt},i=4096,x`],
    ["an empty attribute", `r=${nonce},s=${salt},i=4096,`],
    ["a nonce with a space", `r=${nonce} ,s=${salt},i=4096`],
    ["a nonce beyond ASCII", `r=${nonce}ä,s=${salt},i=4096`],
    ["a NUL", `r=${nonce},s=${salt},i=4096,x=\0`],
  ])("refuses a challenge with %s", async (_, serverFirst) => {
    await expect(rfcClient().challenge(serverFirst)).rejects.toEqual(badShape);
  });

  test("ignores an optional extension of the challenge, as RFC 5802 wants it", async () => {
    await expect(rfcClient().challenge(`${rfc.serverFirst},x=y`)).resolves.toMatch(/^c=biws,r=/);
  });

  test("does not trust a server whose signature is wrong in any place", async () => {
    for (let index = "v=".length; index < rfc.serverFinal.length - 2; index++) {
      const client = rfcClient();
      await client.challenge(rfc.serverFirst);
      expect(() => client.verify(flipped(rfc.serverFinal, index))).toThrow(untrusted);
    }
  });

  test("does not trust a server that has another password", async () => {
    const client = rfcClient("pen");
    await client.challenge(rfc.serverFirst);
    expect(() => client.verify(rfc.serverFinal)).toThrow(untrusted);
  });

  test("does not trust a signature before it answered a challenge", () => {
    expect(() => rfcClient().verify(rfc.serverFinal)).toThrow(untrusted);
  });

  test("does not verify one login twice", async () => {
    const client = rfcClient();
    await client.challenge(rfc.serverFirst);
    client.verify(rfc.serverFinal);
    expect(() => client.verify(rfc.serverFinal)).toThrow(untrusted);
  });

  test.each(["", "v=", "v=????", "x=abcd", "hello"])("refuses the malformed server-final-message %j", async (final) => {
    const client = rfcClient();
    await client.challenge(rfc.serverFirst);
    expect(() => client.verify(final)).toThrow(badShape);
  });

  test("takes the server's error for a failed login", async () => {
    const client = rfcClient();
    await client.challenge(rfc.serverFirst);
    expect(() => client.verify("e=invalid-proof")).toThrow(expect.objectContaining({ code: ErrorCode.AUTH_FAILED }));
  });
});

describe("ScramServer", () => {
  test.each([
    ["nothing", ""],
    ["channel binding", "p=tls-unique,,n=user,r=abc"],
    ["another identity to act as", "n,a=admin,n=user,r=abc"],
    ["no nonce", "n,,n=user"],
    ["an empty nonce", "n,,n=user,r="],
    ["an empty user name", "n,,n=,r=abc"],
    ["no user name", "n,,r=abc"],
    ["a user name that is not escaped", "n,,n=a=b,r=abc"],
    ["a mandatory extension", "n,,m=x,n=user,r=abc"],
    ["a nonce with a control character", "n,,n=user,r=a\u0001b"],
  ])("refuses a beginning with %s", async (_, clientFirst) => {
    const server = await rfcServer();
    expect(() => server.first(clientFirst)).toThrow(badShape);
  });

  test("refuses a message that was changed in any place", async () => {
    for (let index = 0; index < rfc.clientFinal.length; index++) {
      const result = await (await challenged()).final(flipped(rfc.clientFinal, index));
      expect({ index, ok: result.ok }).toEqual({ index, ok: false });
    }
  });

  test("refuses the proof for a challenge that was changed on its way", async () => {
    const server = await challenged();
    const proof = await rfcClient().challenge(rfc.serverFirst.replace("i=4096", "i=4097"));
    expect(await server.final(proof)).toEqual({ ok: false, reason: "Invalid password" });
  });

  test("refuses the replay of a login that it saw succeed", async () => {
    const keys = await rfcKeys;
    const observed = new ScramServer(keys, crypto);
    const client = rfcClient();
    const clientFinal = await client.challenge(await observed.first(client.clientFirst));
    expect((await observed.final(clientFinal)).ok).toBe(true);
    const replayed = new ScramServer(keys, crypto);
    await replayed.first(client.clientFirst);
    expect((await replayed.final(clientFinal)).ok).toBe(false);
  });

  test("refuses an observed proof with its nonce put in place of the old one", async () => {
    const server = new ScramServer(await rfcKeys, crypto);
    const nonce = (await server.first(rfc.clientFirst)).split(",")[0] ?? "";
    const forged = rfc.clientFinal.replace(/r=[^,]*/, () => nonce);
    expect(await server.final(forged)).toEqual({ ok: false, reason: "Invalid password" });
  });

  test("lets a challenge be answered once", async () => {
    const server = await challenged();
    expect((await server.final(flipped(rfc.clientFinal, 60))).ok).toBe(false);
    expect((await server.final(rfc.clientFinal)).ok).toBe(false);
  });

  test("refuses an answer to a challenge it did not send", async () => {
    expect((await (await rfcServer()).final(rfc.clientFinal)).ok).toBe(false);
  });

  test("never throws for what a peer answers", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), async (text) => {
        const server = await challenged();
        expect((await server.final(text)).ok).toBe(false);
        const nearly = await challenged();
        expect((await nearly.final(`${rfc.clientFinal}${text || ","}`)).ok).toBe(false);
      }),
    );
  });
});

describe("ScramServerKeys", () => {
  test.each([4095, 1_000_001, 5000.5, Number.NaN])("refuses %d iterations", async (count) => {
    await expect(ScramServerKeys.derive({ password: "p", crypto, iterations: count })).rejects.toEqual(badConfig);
  });

  test("refuses an empty password and an empty salt", async () => {
    await expect(ScramServerKeys.derive({ password: "", crypto })).rejects.toEqual(badConfig);
    await expect(ScramServerKeys.derive({ password: "p", crypto, salt: new Uint8Array() })).rejects.toEqual(badConfig);
  });

  test("has a salt of its own each time", async () => {
    const [one, two] = await Promise.all(
      [1, 2].map(() => ScramServerKeys.derive({ password: "p", crypto, iterations })),
    );
    expect(one?.salt).toHaveLength(16);
    expect(one?.salt).not.toEqual(two?.salt);
  });
});

describe("ScramKeyCache", () => {
  const bytes = new TextEncoder();

  async function answer(counting: WebRuntimeCrypto, cache: ScramKeyCache, password = rfc.password): Promise<string> {
    const { username, clientNonce: nonce } = rfc;
    return new ScramClient({ username, password, crypto: counting, nonce, cache }).challenge(rfc.serverFirst);
  }

  test("spares the second login to the same server PBKDF2, with the same answer", async () => {
    const counting = new WebRuntimeCrypto();
    const cache = new ScramKeyCache();
    expect(await answer(counting, cache)).toBe(rfc.clientFinal);
    expect(await answer(counting, cache)).toBe(rfc.clientFinal);
    expect(counting.pbkdf2Runs).toBe(1);
  });

  test("does not answer with the keys of another password", async () => {
    const counting = new WebRuntimeCrypto();
    const cache = new ScramKeyCache();
    await answer(counting, cache, "another");
    expect(await answer(counting, cache)).toBe(rfc.clientFinal);
    expect(counting.pbkdf2Runs).toBe(2);
  });

  test("tells apart inputs that are the same bytes when written one after the other", async () => {
    const counting = new WebRuntimeCrypto();
    const cache = new ScramKeyCache();
    const derivation = (salt: string) => ({ salt: bytes.encode(salt), saltText: btoa(salt), iterations });
    await cache.derive("cd", derivation("ab"), counting);
    await cache.derive("bcd", derivation("a"), counting);
    await cache.derive(",cd", derivation("ab"), counting);
    expect(counting.pbkdf2Runs).toBe(3);
  });

  test("holds 16 keys and lets go of the one not used for longest", async () => {
    const counting = new WebRuntimeCrypto();
    const cache = new ScramKeyCache();
    const derive = (name: string) =>
      cache.derive(name, { salt: bytes.encode("salt"), saltText: "c2FsdA==", iterations }, counting);
    for (let index = 0; index < 16; index++) await derive(`password ${index}`);
    await derive("password 0");
    await derive("one more");
    expect(cache.size).toBe(16);
    expect(counting.pbkdf2Runs).toBe(17);
    await derive("password 0");
    expect(counting.pbkdf2Runs).toBe(17);
    await derive("password 1");
    expect(counting.pbkdf2Runs).toBe(18);
  });

  test("forgets everything when it is cleared", async () => {
    const cache = new ScramKeyCache();
    await answer(new WebRuntimeCrypto(), cache);
    cache.clear();
    expect(cache.size).toBe(0);
  });
});

describe("constantTimeEqual", () => {
  test("compares like any comparison", () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
        expect(constantTimeEqual(a, b)).toBe(a.join() === b.join());
        expect(constantTimeEqual(a, Uint8Array.from(a))).toBe(true);
      }),
    );
  });
});
