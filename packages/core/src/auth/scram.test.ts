import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { countPbkdf2 } from "../test-support/pbkdf2-runs.ts";
import { decodeBase64 } from "../util/base64.ts";
import { ScramClient, ScramServer } from "./scram.ts";
import { constantTimeEqual, deriveServerKeys, ScramKeyCache } from "./scram-keys.ts";

const { crypto } = fakeRuntime();
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

const rfcSalt = decodeBase64(rfc.salt) as Uint8Array;
const rfcKeys = deriveServerKeys(rfc.password, iterations, crypto, rfcSalt);

function rfcClient(password = rfc.password, onCrypto: RuntimeCrypto = crypto): ScramClient {
  return new ScramClient(password, onCrypto, { username: rfc.username, nonce: rfc.clientNonce });
}

async function rfcServer(): Promise<ScramServer> {
  return new ScramServer(await rfcKeys, crypto, rfc.serverNonce);
}

/** Creates a server that has sent its challenge. */
async function challenged(): Promise<ScramServer> {
  const server = await rfcServer();
  server.first(rfc.clientFirst);
  return server;
}

const untrusted: unknown = expect.objectContaining({ code: ErrorCode.SERVER_NOT_TRUSTED });
const badShape: unknown = expect.objectContaining({ code: ErrorCode.INVALID_PAYLOAD_SHAPE });
const badConfig: unknown = expect.objectContaining({ code: ErrorCode.INVALID_CONFIG });
const refused: unknown = expect.objectContaining({ code: ErrorCode.AUTH_FAILED });
const wrongPassword: unknown = expect.objectContaining({ code: ErrorCode.AUTH_FAILED, message: "Invalid password" });

/** Returns the error code with which this server rejects a client-final-message; null if it accepts it. */
async function refusalOf(server: ScramServer, clientFinal: string): Promise<number | null> {
  try {
    server.final(clientFinal);
    return null;
  } catch (error) {
    if (error instanceof ConduitError) return error.code;
    throw error;
  }
}

/** Returns `text` with the character at `index` replaced by another of the same kind. */
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
    expect(server.first(rfc.clientFirst)).toBe(rfc.serverFirst);
    expect(server.final(rfc.clientFinal)).toBe(rfc.serverFinal);
  });
});

describe("a login", () => {
  /** Resolves if both sides accept each other. */
  async function login(serverPassword: string, clientPassword: string): Promise<void> {
    const server = new ScramServer(await deriveServerKeys(serverPassword, iterations, crypto), crypto);
    const client = new ScramClient(clientPassword, crypto);
    client.verify(server.final(await client.challenge(server.first(client.clientFirst))));
  }

  const password = fc.oneof(fc.string({ minLength: 1 }), fc.string({ minLength: 1, unit: "binary" }));

  test("succeeds with any password, Unicode included, if both sides have the same", async () => {
    await fc.assert(
      fc.asyncProperty(password, async (secret) => {
        await expect(login(secret, secret)).resolves.toBeUndefined();
      }),
      { numRuns: 40 },
    );
  });

  test("fails with any other password", async () => {
    await fc.assert(
      fc.asyncProperty(password, password, async (one, other) => {
        fc.pre(one.normalize("NFKC") !== other.normalize("NFKC"));
        await expect(login(one, other)).rejects.toEqual(wrongPassword);
      }),
      { numRuns: 40 },
    );
  });

  test("accepts the same password in another Unicode form", async () => {
    await expect(login("p\u00e4ss\ufb01", "pa\u0308ssfi")).resolves.toBeUndefined();
  });

  test("differs each time: no nonce is used twice", async () => {
    const [one, two] = [1, 2].map(() => new ScramClient("p", crypto).clientFirst);
    expect(one).not.toBe(two);
    const [first, second] = [new ScramServer(await rfcKeys, crypto), new ScramServer(await rfcKeys, crypto)];
    expect(first.first(rfc.clientFirst)).not.toBe(second.first(rfc.clientFirst));
  });
});

describe("ScramClient", () => {
  test("refuses an empty password", () => {
    expect(() => new ScramClient("", crypto)).toThrow(badConfig);
  });

  test("begins with a fixed name and a random UUID", () => {
    const uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";
    expect(new ScramClient("p", crypto).clientFirst).toMatch(new RegExp(`^n,,n=netconduit,r=${uuid}$`));
  });

  const [nonce, salt] = [`${rfc.clientNonce}${rfc.serverNonce}`, rfc.salt];

  test.each([
    ["fewer iterations than 4096", `r=${nonce},s=${salt},i=4095`],
    ["more iterations than a million", `r=${nonce},s=${salt},i=1000001`],
    ["a nonce that does not extend its own", `r=X${nonce},s=${salt},i=4096`],
    ["its own nonce, not extended", `r=${rfc.clientNonce},s=${salt},i=4096`],
  ])("does not trust a server that sends %s", async (_, serverFirst) => {
    expect(() => rfcClient().challenge(serverFirst)).toThrow(untrusted);
  });

  test("does not derive keys for a challenge that it refuses", async () => {
    const own = fakeRuntime().crypto;
    const count = countPbkdf2(own);
    for (const asked of [1, 4095, 1_000_001]) {
      expect(() => rfcClient(rfc.password, own).challenge(`r=${nonce},s=${salt},i=${asked}`)).toThrow(untrusted);
    }
    expect(count.runs).toBe(0);
  });

  test.each([16, 256])("takes a server's part of the nonce of %i characters", async (chars) => {
    const whole = rfc.clientNonce + "x".repeat(chars);
    expect(await rfcClient().challenge(`r=${whole},s=${salt},i=4096`)).toMatch(/^c=biws,r=/);
  });

  test.each([15, 257])("does not trust a server's part of the nonce of %i characters", async (chars) => {
    const whole = rfc.clientNonce + "x".repeat(chars);
    expect(() => rfcClient().challenge(`r=${whole},s=${salt},i=4096`)).toThrow(untrusted);
  });

  test.each([4096, 4097])("takes %i iterations", async (asked) => {
    expect(await rfcClient().challenge(`r=${nonce},s=${salt},i=${asked}`)).toMatch(/^c=biws,r=/);
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
    expect(() => rfcClient().challenge(serverFirst)).toThrow(badShape);
  });

  test("ignores an optional extension of the challenge, as RFC 5802 wants it", async () => {
    expect(await rfcClient().challenge(`${rfc.serverFirst},x=y`)).toMatch(/^c=biws,r=/);
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
    expect(() => client.verify("e=invalid-proof")).toThrow(refused);
  });
});

describe("ScramServer", () => {
  test.each([
    ["nothing", ""],
    ["channel binding", "p=tls-unique,,n=user,r=abcdefghijklmnop"],
    ["another identity to act as", "n,a=admin,n=user,r=abcdefghijklmnop"],
    ["no nonce", "n,,n=user"],
    ["an empty nonce", "n,,n=user,r="],
    ["no user name", "n,,r=abcdefghijklmnop"],
    ["a mandatory extension", "n,,m=x,n=user,r=abcdefghijklmnop"],
    ["a nonce with a control character", "n,,n=user,r=abcdefgh\u0001ijklmnop"],
  ])("refuses a beginning with %s", async (_, clientFirst) => {
    const server = await rfcServer();
    expect(() => server.first(clientFirst)).toThrow(badShape);
  });

  test.each([
    ["is empty", ""],
    ["is not escaped", "a=b"],
    ["has any characters", "=2C \u00e4\u{1f600}"],
  ])("takes a user name that %s, because it ignores it", async (_, name) => {
    expect((await rfcServer()).first(`n,,n=${name},r=${rfc.clientNonce}`)).toBe(rfc.serverFirst);
  });

  test.each([16, 256])("takes a nonce of %i characters", async (chars) => {
    expect((await rfcServer()).first(`n,,n=u,r=${"x".repeat(chars)}`)).toMatch(/^r=x/);
  });

  test.each([15, 257])("refuses a nonce of %i characters", async (chars) => {
    const server = await rfcServer();
    expect(() => server.first(`n,,n=u,r=${"x".repeat(chars)}`)).toThrow(badShape);
  });

  test("refuses a message with any single character changed", async () => {
    for (let index = 0; index < rfc.clientFinal.length; index++) {
      const code = await refusalOf(await challenged(), flipped(rfc.clientFinal, index));
      expect({ index, code }).not.toEqual({ index, code: null });
    }
  });

  test("refuses a wrong proof as a wrong password in each position", async () => {
    const proofStart = rfc.clientFinal.indexOf(",p=") + 3;
    // The last digit has two bits that aren't part of the proof, and is followed by `=`.
    for (let index = proofStart; index < rfc.clientFinal.length - 2; index++) {
      const code = await refusalOf(await challenged(), flipped(rfc.clientFinal, index));
      expect({ index, code }).toEqual({ index, code: ErrorCode.AUTH_FAILED });
    }
  });

  test.each([
    ["nothing", ""],
    ["no channel binding", rfc.clientFinal.replace("c=biws,", "")],
    ["another channel binding", rfc.clientFinal.replace("c=biws", "c=eSws")],
    ["its attributes in another order", rfc.clientFinal.replace(/^(c=biws),(r=[^,]*)/, "$2,$1")],
    ["no nonce", rfc.clientFinal.replace(/,r=[^,]*/, "")],
    ["no proof", rfc.clientFinal.replace(/,p=.*/, "")],
    ["an empty proof", rfc.clientFinal.replace(/,p=.*/, ",p=")],
    ["a short proof", rfc.clientFinal.replace(/,p=.*/, ",p=AAAA")],
    ["a proof that is not base64", rfc.clientFinal.replace(/,p=.*/, `,p=${"?".repeat(44)}`)],
    ["a mandatory extension", rfc.clientFinal.replace(",p=", ",m=x,p=")],
    ["an attribute behind the proof", `${rfc.clientFinal},x=y`],
    ["a second proof behind the proof", `${rfc.clientFinal}${rfc.clientFinal.slice(rfc.clientFinal.indexOf(",p="))}`],
    ["a comma behind the proof", `${rfc.clientFinal},`],
    ["a space behind the proof", `${rfc.clientFinal} `],
    ["a line break behind the proof", `${rfc.clientFinal}\n`],
  ])("refuses an answer with %s as malformed", async (_, clientFinal) => {
    const server = await challenged();
    expect(() => server.final(clientFinal)).toThrow(badShape);
  });

  test("refuses a proof for a message without the optional extension that stands before it", async () => {
    const clientFinal = rfc.clientFinal.replace(",p=", ",x=y,p=");
    const server = await challenged();
    expect(() => server.final(clientFinal)).toThrow(wrongPassword);
  });

  test.each([
    ["another server part", rfc.clientFinal.replace(",p=", "x,p=")],
    ["the client's part alone", rfc.clientFinal.replace(/r=[^,]*/, `r=${rfc.clientNonce}`)],
    ["another client part", rfc.clientFinal.replace("r=r", "r=R")],
  ])("refuses a nonce with %s", async (_, clientFinal) => {
    const server = await challenged();
    const error: unknown = expect.objectContaining({
      code: ErrorCode.AUTH_FAILED,
      message: expect.stringContaining("nonce"),
    });
    expect(() => server.final(clientFinal)).toThrow(error);
  });

  test("refuses the proof for a challenge that was changed on its way", async () => {
    const server = await challenged();
    const proof = await rfcClient().challenge(rfc.serverFirst.replace("i=4096", "i=4097"));
    expect(() => server.final(proof)).toThrow(wrongPassword);
  });

  test("refuses the replay of a login that it saw succeed", async () => {
    const keys = await rfcKeys;
    const observed = new ScramServer(keys, crypto);
    const client = rfcClient();
    const clientFinal = await client.challenge(observed.first(client.clientFirst));
    expect(observed.final(clientFinal)).toMatch(/^v=/);
    const replayed = new ScramServer(keys, crypto);
    replayed.first(client.clientFirst);
    expect(() => replayed.final(clientFinal)).toThrow(refused);
  });

  test("refuses an observed proof with its nonce put in place of the old one", async () => {
    const server = new ScramServer(await rfcKeys, crypto);
    const nonce = server.first(rfc.clientFirst).split(",")[0] ?? "";
    const forged = rfc.clientFinal.replace(/r=[^,]*/, () => nonce);
    expect(() => server.final(forged)).toThrow(wrongPassword);
  });

  test.each([
    ["a wrong answer", flipped(rfc.clientFinal, 80)],
    ["a malformed answer", "hello"],
    ["the right answer", rfc.clientFinal],
  ])("lets a challenge be answered once: %s uses it up", async (_, answer) => {
    const server = await challenged();
    await refusalOf(server, answer);
    expect(() => server.final(rfc.clientFinal)).toThrow(refused);
  });

  test("refuses an answer to a challenge it did not send", async () => {
    const server = await rfcServer();
    expect(() => server.final(rfc.clientFinal)).toThrow(refused);
  });

  test("refuses any other answer, always with the same error", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), async (text) => {
        expect(await refusalOf(await challenged(), text)).not.toBeNull();
        expect(await refusalOf(await challenged(), `${rfc.clientFinal}${text || ","}`)).not.toBeNull();
      }),
    );
  });
});

describe("deriveServerKeys", () => {
  test("refuses an empty password", async () => {
    await expect(deriveServerKeys("", iterations, crypto)).rejects.toEqual(badConfig);
  });

  test("has a salt of its own each time", async () => {
    const [one, two] = await Promise.all([1, 2].map(() => deriveServerKeys("p", iterations, crypto)));
    expect(one?.salt).toHaveLength(16);
    expect(one?.salt).not.toEqual(two?.salt);
  });
});

describe("the keys of clients on one runtime", () => {
  test("spare the second login to the same server the run of PBKDF2", async () => {
    const own = fakeRuntime().crypto;
    const count = countPbkdf2(own);
    for (let login = 0; login < 2; login++) {
      expect(await rfcClient(rfc.password, own).challenge(rfc.serverFirst)).toBe(rfc.clientFinal);
    }
    expect(count.runs).toBe(1);
  });

  test("are not those of another password", async () => {
    const own = fakeRuntime().crypto;
    const count = countPbkdf2(own);
    await rfcClient("another", own).challenge(rfc.serverFirst);
    expect(await rfcClient(rfc.password, own).challenge(rfc.serverFirst)).toBe(rfc.clientFinal);
    expect(count.runs).toBe(2);
  });
});

describe("ScramKeyCache", () => {
  const bytes = new TextEncoder();

  function counted(): { cache: ScramKeyCache; count: { readonly runs: number }; own: RuntimeCrypto } {
    const own = fakeRuntime().crypto;
    const count = countPbkdf2(own);
    return { cache: new ScramKeyCache(own), count, own };
  }

  test("tells apart another password, salt and number of iterations", async () => {
    const { cache, count } = counted();
    const salt = bytes.encode("salt");
    await cache.get("password", salt, 4096);
    await cache.get("passwords", salt, 4096);
    await cache.get("password", bytes.encode("pepper"), 4096);
    await cache.get("password", salt, 4097);
    await cache.get("password", salt, 4096);
    expect(count.runs).toBe(4);
  });

  test("tells apart inputs whose concatenations are the same", async () => {
    const { cache, count } = counted();
    await cache.get("cd", bytes.encode("ab"), iterations);
    await cache.get("bcd", bytes.encode("a"), iterations);
    await cache.get(",cd", bytes.encode("ab"), iterations);
    expect(count.runs).toBe(3);
  });

  test("derives once for logins at the same time", async () => {
    const { cache, count } = counted();
    const salt = bytes.encode("salt");
    const [one, two] = await Promise.all([1, 2].map(() => cache.get("password", salt, iterations)));
    expect(count.runs).toBe(1);
    expect(one).toEqual(two);
  });

  test("forgets a derivation that fails", async () => {
    const own = fakeRuntime().crypto;
    const { pbkdf2Sha256 } = own;
    const failure = new Error("no memory");
    const cache = new ScramKeyCache(own);
    const salt = bytes.encode("salt");
    Object.assign(own, { pbkdf2Sha256: () => Promise.reject(failure) });
    await expect(cache.get("password", salt, iterations)).rejects.toBe(failure);
    Object.assign(own, { pbkdf2Sha256 });
    expect(await cache.get("password", salt, iterations)).toHaveProperty("clientKey");
  });

  test("holds 16 keys and drops the least recently used", async () => {
    const { cache, count } = counted();
    const salt = bytes.encode("salt");
    const derive = (name: string) => cache.get(name, salt, iterations);
    for (let index = 0; index < 16; index++) await derive(`password ${index}`);
    await derive("password 0");
    expect(count.runs).toBe(16);
    await derive("one more");
    expect(count.runs).toBe(17);
    for (const kept of [0, 2, 15]) await derive(`password ${kept}`);
    expect(count.runs).toBe(17);
    await derive("password 1");
    expect(count.runs).toBe(18);
  });
});

describe("constantTimeEqual", () => {
  test("compares as === does", () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
        expect(constantTimeEqual(a, b)).toBe(a.join() === b.join());
        expect(constantTimeEqual(a, Uint8Array.from(a))).toBe(true);
      }),
    );
  });
});
