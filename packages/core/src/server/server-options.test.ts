import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { parseServerOptions } from "./server-options.ts";

const MIB = 1024 * 1024;
const password = "secret";

/** Returns `[option, rule, received]` of the only problem. */
function problem(options: Record<string, unknown>): unknown[] {
  try {
    parseServerOptions({ password, ...options });
  } catch (error) {
    const { problems } = (error as { details: { problems: Record<string, string>[] } }).details;
    expect(problems).toHaveLength(1);
    return Object.values(problems[0] ?? {});
  }
  throw new Error("the options passed");
}

describe("parseServerOptions", () => {
  test("fills in the guide's defaults, and this library's beside them", () => {
    expect({ ...parseServerOptions({ password }) }).toEqual({
      name: "conduit_server",
      version: "1.0.0",
      description: "",
      host: "0.0.0.0",
      port: 8080,
      path: undefined,
      ipv6: false,
      tls: null,
      resume: null,
      maxConnections: 100,
      maxPendingLogins: 1000,
      bufferSize: 65_536,
      connectionTimeoutMs: 30_000,
      authTimeoutMs: 10_000,
      heartbeatIntervalMs: 30_000,
      heartbeatTimeoutMs: 90_000,
      sendQueueSize: 1000,
      sendQueueBytes: 16 * MIB,
      receiveQueueSize: 1000,
      receiveQueueBytes: 16 * MIB,
      handlerConcurrency: 256,
      maxStreams: 10_000,
      maxStreamBytes: 64 * 1024 * 1024,
      enableCompression: false,
      enableBackpressure: true,
      maxMessageBytes: 10 * MIB,
      maxBufferedBytes: 256 * MIB,
      rateLimit: null,
      allowPasswordHash: false,
      slowConsumer: "disconnect",
      maxSubscriptions: 1000,
      maxTopicBytes: 268_435_456,
      complete: false,
      exposeErrors: false,
      rpcTimeoutMs: 30_000,
      handleSignals: true,
      scramIterations: 15_000,
      drainMs: 5000,
      closeTimeoutMs: 5000,
    });
  });

  test("takes the guide's full configuration", () => {
    const options = {
      name: "MyGameServer",
      version: "2.0.0",
      description: "Game server with RPC support",
      host: "0.0.0.0",
      port: 9000,
      ipv6: false,
      password: "super_secret_password_123",
      authTimeoutMs: 5000,
      maxConnections: 500,
      bufferSize: 131_072,
      sendQueueSize: 2000,
      receiveQueueSize: 2000,
      heartbeatIntervalMs: 30_000,
      heartbeatTimeoutMs: 90_000,
      enableCompression: true,
      enableBackpressure: true,
    };
    expect(parseServerOptions(options)).toMatchObject(options);
  });

  test("treats an option that is undefined as left out", () => {
    expect(parseServerOptions({ password, port: undefined, tls: undefined })).toMatchObject({ port: 8080, tls: null });
  });

  test("does not change the options it was given", () => {
    const options = Object.freeze({ password, rateLimit: Object.freeze({ messagesPerSecond: 5 }) });
    expect(() => parseServerOptions(options)).not.toThrow();
  });

  test("gives a frozen configuration", () => {
    const config = parseServerOptions({ password, tls: { cert: "c", key: "k" }, rateLimit: { bytesPerSecond: 1 } });
    expect([config, config.tls, config.rateLimit].every(Object.isFrozen)).toBe(true);
  });

  test("keeps the password readable but hides it from logs and serialization", () => {
    const config = parseServerOptions({ password });
    expect(config.password).toBe(password);
    expect(JSON.stringify(config)).not.toContain(password);
  });

  test("keeps the private key readable but hides it from logs and serialization", () => {
    const config = parseServerOptions({ password, tls: { cert: "chain", key: "private" } });
    expect(config.tls?.key).toBe("private");
    expect(JSON.stringify(config)).not.toContain("private");
  });

  test.each(["0.0.0.0:80", "http://localhost", "[::]"])("refuses the host %s", (host) => {
    expect(() => parseServerOptions({ password, host })).toThrow(
      `Invalid option host of the server: must be a name or an address, without a port, brackets or a scheme, got "${host}"`,
    );
  });

  test("listens on :: when only ipv6 is asked for", () => {
    expect(parseServerOptions({ password, ipv6: true }).host).toBe("::");
  });

  test("takes ipv6 from an IPv6 host when it is left out", () => {
    expect(parseServerOptions({ password, host: "::1" }).ipv6).toBe(true);
  });

  test("takes a Unix socket path", () => {
    expect(parseServerOptions({ password, path: "/run/app.sock" })).toMatchObject({
      path: "/run/app.sock",
      ipv6: false,
    });
  });

  test("gives queues room for the largest message", () => {
    expect(parseServerOptions({ password, maxMessageBytes: 100 * MIB })).toMatchObject({
      sendQueueBytes: 100 * MIB + 1024,
      receiveQueueBytes: 102 * MIB,
    });
  });

  test("leaves a rate that is not given without a limit", () => {
    expect(parseServerOptions({ password, rateLimit: { messagesPerSecond: 0.5 } }).rateLimit).toEqual({
      messagesPerSecond: 0.5,
      bytesPerSecond: Number.POSITIVE_INFINITY,
    });
  });

  test("has no rate limit when the limit names no rate", () => {
    expect(parseServerOptions({ password, rateLimit: {} }).rateLimit).toBeNull();
  });

  test("fills in the TLS defaults", () => {
    const { tls } = parseServerOptions({ password, tls: { cert: "c", key: "k" } });
    expect(tls).toEqual({ cert: "c", requireClientCertificate: false });
    expect(tls?.key).toBe("k");
  });

  test.each([
    ["port", 0],
    ["port", 65_535],
    ["maxMessageBytes", 1024],
    ["maxMessageBytes", 100 * MIB],
    ["authTimeoutMs", 2 ** 31 - 1],
    ["drainMs", 0],
    ["scramIterations", 4096],
    ["slowConsumer", "drop"],
    ["sendQueueBytes", 10 * MIB + 1024],
  ])("accepts %s at the edge: %s", (option, value) => {
    expect(parseServerOptions({ password, [option]: value })).toHaveProperty(option, value);
  });

  const port = "must be an integer from 0 to 65535";
  const timer = "must be an integer from 1 to 2147483647";
  test.each([
    ["port", 65_536, port, "65536"],
    ["port", -1, port, "-1"],
    ["port", 80.5, port, "80.5"],
    ["port", Number.NaN, port, "NaN"],
    ["port", Number.POSITIVE_INFINITY, port, "Infinity"],
    ["port", "8080", port, '"8080"'],
    ["port", null, port, "null"],
    ["port", 80n, port, "80n"],
    ["maxConnections", 0, "must be an integer of 1 or more", "0"],
    ["maxPendingLogins", 0, "must be an integer of 1 or more", "0"],
    ["handlerConcurrency", 0, "must be an integer of 1 or more", "0"],
    ["maxStreams", 0, "must be an integer of 1 or more", "0"],
    ["maxStreamBytes", 1000, "must be an integer of 65536 or more", "1000"],
    ["sendQueueSize", 0, "must be an integer of 1 or more", "0"],
    ["receiveQueueSize", 1.5, "must be an integer of 1 or more", "1.5"],
    ["authTimeoutMs", 0, timer, "0"],
    ["connectionTimeoutMs", 2 ** 31, timer, "2147483648"],
    ["rpcTimeoutMs", Number.NaN, timer, "NaN"],
    ["drainMs", -1, "must be an integer from 0 to 2147483647", "-1"],
    ["maxMessageBytes", 1023, "must be an integer from 1024 to 104857600", "1023"],
    ["maxMessageBytes", 100 * MIB + 1, "must be an integer from 1024 to 104857600", "104857601"],
    ["scramIterations", 4095, "must be an integer from 4096 to 1000000", "4095"],
    ["sendQueueBytes", 10 * MIB, "must be at least maxMessageBytes + 1024 (10486784)", "10485760"],
    ["receiveQueueBytes", 1, "must be at least maxMessageBytes + 1024 (10486784)", "1"],
    ["enableCompression", 1, "must be a boolean", "1"],
    ["handleSignals", "yes", "must be a boolean", '"yes"'],
    ["slowConsumer", "wait", 'must be "drop" or "disconnect"', '"wait"'],
    ["name", "", "must be a non-empty string of at most 256 characters", '""'],
    ["description", 5, "must be a string of at most 256 characters", "5"],
    ["host", "", "must be a non-empty string", '""'],
    ["path", 5, "must be a non-empty string", "5"],
    ["tls", true, "must be an object", "true"],
    ["rateLimit", 100, "must be an object", "100"],
    ["password", "", "must be a non-empty string", "an empty string"],
    ["password", 5, "must be a non-empty string", "a number"],
  ])("refuses %s %s", (option, value, rule, received) => {
    expect(problem({ [option]: value })).toEqual([option, rule, received]);
  });

  test.each([
    [
      "a heartbeat timeout that equals the interval",
      { heartbeatIntervalMs: 5, heartbeatTimeoutMs: 5 },
      "heartbeatTimeoutMs",
    ],
    ["an interval above the default timeout", { heartbeatIntervalMs: 90_000 }, "heartbeatTimeoutMs"],
    ["path together with ipv6", { path: "/run/app.sock", ipv6: true }, "ipv6"],
    ["an IPv4 host with ipv6", { host: "127.0.0.1", ipv6: true }, "host"],
    ["an IPv6 host with ipv6 turned off", { host: "::1", ipv6: false }, "host"],
    ["a certificate without a key", { tls: { cert: "c" } }, "tls.key"],
    ["a key without a certificate", { tls: { key: "k" } }, "tls.cert"],
    [
      "client certificates without a CA",
      { tls: { cert: "c", key: "k", requireClientCertificate: true } },
      "tls.requireClientCertificate",
    ],
    ["an unknown TLS option", { tls: { cert: "c", key: "k", passphrase: "x" } }, "tls.passphrase"],
    ["a rate of 0", { rateLimit: { messagesPerSecond: 0 } }, "rateLimit.messagesPerSecond"],
    ["an infinite rate", { rateLimit: { bytesPerSecond: Number.POSITIVE_INFINITY } }, "rateLimit.bytesPerSecond"],
    ["a client's option", { reconnect: {} }, "reconnect"],
  ])("refuses %s", (_name, options, option) => {
    expect(problem(options)[0]).toBe(option);
  });

  test("names the option that stands for Node's rejectUnauthorized", () => {
    const tls = { cert: "c", key: "k", ca: "c", rejectUnauthorized: true };
    expect(problem({ tls }).slice(0, 2)).toEqual([
      "tls.rejectUnauthorized",
      "is unknown; did you mean tls.requireClientCertificate?",
    ]);
  });

  test("says that the conflicting value is a default", () => {
    expect(problem({ heartbeatIntervalMs: 90_000 })[2]).toBe("90000 (the default)");
  });

  test("does not apply a rule about two options while one of them is invalid by itself", () => {
    expect(problem({ heartbeatIntervalMs: "5", heartbeatTimeoutMs: 1 })[0]).toBe("heartbeatIntervalMs");
    expect(problem({ maxMessageBytes: 5, sendQueueBytes: 1 })[0]).toBe("maxMessageBytes");
  });

  test("throws with the code INVALID_CONFIG", () => {
    expect(() => parseServerOptions({})).toThrow(expect.objectContaining({ code: ErrorCode.INVALID_CONFIG }));
  });
});
