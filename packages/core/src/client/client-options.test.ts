import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { checkedCredentials, parseClientOptions } from "./client-options.ts";

const MIB = 1024 * 1024;
const base = { host: "localhost", port: 8080, password: "secret" };

/** Returns the problems by option. */
function problems(options: Record<string, unknown>): string[] {
  try {
    parseClientOptions(options);
  } catch (error) {
    return (error as { details: { problems: { option: string }[] } }).details.problems.map(({ option }) => option);
  }
  throw new Error("the options passed");
}

describe("parseClientOptions", () => {
  test("fills in the defaults", () => {
    expect({ ...parseClientOptions(base) }).toEqual({
      host: "localhost",
      port: 8080,
      path: undefined,
      ipv6: false,
      tls: null,
      resume: null,
      name: "conduit_client",
      version: "1.0.0",
      description: "",
      connectTimeoutMs: 10_000,
      rpcTimeoutMs: 30_000,
      closeTimeoutMs: 5000,
      reconnect: {
        enabled: true,
        attempts: 0,
        delayMs: 2000,
        maxDelayMs: 30_000,
        multiplier: 2,
        jitter: true,
        leaveEarly: false,
      },
      queueWhileDisconnected: "reject",
      maxMessageBytes: 10 * MIB,
      bufferSize: 65_536,
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
      allowPasswordHash: false,
      complete: false,
      exposeErrors: false,
    });
  });

  test("fills in missing fields of the option reconnect", () => {
    expect(parseClientOptions({ ...base, reconnect: { attempts: 0 } }).reconnect).toEqual({
      enabled: true,
      attempts: 0,
      delayMs: 2000,
      maxDelayMs: 30_000,
      multiplier: 2,
      jitter: true,
      leaveEarly: false,
    });
  });

  test("returns a configuration that is frozen, including its groups", () => {
    const config = parseClientOptions({ ...base, tls: true });
    expect([config, config.reconnect, config.tls].every(Object.isFrozen)).toBe(true);
  });

  test("keeps the password readable but hides it from logs and serialization", () => {
    const config = parseClientOptions(base);
    expect(config.password).toBe("secret");
    expect(JSON.stringify(config)).not.toContain("secret");
  });

  test("keeps the private key readable but hides it from logs and serialization", () => {
    const config = parseClientOptions({ ...base, tls: { cert: "chain", key: "private" } });
    expect(config.tls?.key).toBe("private");
    expect(JSON.stringify(config)).not.toContain("private");
  });

  test("accepts a function as password without calling it", () => {
    const ask = (): string => {
      throw new Error("asked");
    };
    expect(parseClientOptions({ ...base, password: ask }).password).toBe(ask);
  });

  test("requires neither host nor port with a Unix socket path", () => {
    expect(parseClientOptions({ path: "/run/app.sock", password: "p" })).toMatchObject({
      path: "/run/app.sock",
      host: "localhost",
      port: 0,
    });
  });

  test.each([
    ["true, all defaults", true, {}],
    ["false, plain TCP", false, null],
    ["options", { ca: "ca", serverName: "example.com" }, { ca: "ca", serverName: "example.com" }],
    ["a client certificate with its key", { cert: "c", key: "k" }, { cert: "c" }],
  ])("accepts tls as %s", (_name, tls, expected) => {
    expect(parseClientOptions({ ...base, tls }).tls).toEqual(expected);
  });

  test("requires host and port without a path", () => {
    expect(problems({ password: "p" })).toEqual(["host", "port"]);
  });

  test("reports when host and port are required", () => {
    expect(() => parseClientOptions({ password: "p", port: 1 })).toThrow(
      "Invalid option host of the client: is required unless path is given, got undefined",
    );
  });

  test("explains where to find the port of a server on port 0", () => {
    expect(() => parseClientOptions({ ...base, port: 0 })).toThrow(
      "Invalid option port of the client: must be an integer from 1 to 65535; server.address has it once start() has resolved, got 0",
    );
  });

  test("reports the kind of a credentials function's result without its value", () => {
    expect(() => checkedCredentials("t0k3n")).toThrow(
      "The function credentials must return { username, password }, { token } or { certificate: true }, got a string",
    );
  });

  test.each([
    ["port 0", { port: 0 }, "port"],
    ["a host with a port", { host: "localhost:8080" }, "host"],
    ["a URL as host", { host: "tcp://localhost" }, "host"],
    ["an IPv6 address in brackets as host", { host: "[::1]" }, "host"],
    ["an empty password", { password: "" }, "password"],
    ["a password that is no text", { password: 5 }, "password"],
    ["path together with ipv6", { path: "/run/app.sock", ipv6: true }, "ipv6"],
    ["an IPv4 host with ipv6", { host: "127.0.0.1", ipv6: true }, "host"],
    ["tls of another type", { tls: "yes" }, "tls"],
    ["a TLS certificate without its key", { tls: { cert: "c" } }, "tls.key"],
    ["a TLS key without its certificate", { tls: { key: "k" } }, "tls.cert"],
    ["an unknown TLS option", { tls: { rejectUnauthorized: false } }, "tls.rejectUnauthorized"],
    ["a TLS option of the wrong type", { tls: { ca: 5 } }, "tls.ca"],
    ["reconnect of another type", { reconnect: true }, "reconnect"],
    ["reconnect as null", { reconnect: null }, "reconnect"],
    ["an unknown option that all objects have", { constructor: 1 }, "constructor"],
    ["an unknown reconnect option", { reconnect: { delay: 5 } }, "reconnect.delay"],
    ["negative attempts", { reconnect: { attempts: -1 } }, "reconnect.attempts"],
    ["a multiplier below 1", { reconnect: { multiplier: 0.5 } }, "reconnect.multiplier"],
    ["a multiplier that is NaN", { reconnect: { multiplier: Number.NaN } }, "reconnect.multiplier"],
    ["a longest delay below the first", { reconnect: { delayMs: 10, maxDelayMs: 5 } }, "reconnect.maxDelayMs"],
    ["a first delay above the default longest", { reconnect: { delayMs: 90_000 } }, "reconnect.maxDelayMs"],
    ["an unknown queue policy", { queueWhileDisconnected: "drop" }, "queueWhileDisconnected"],
    ["a connect timeout of 0", { connectTimeoutMs: 0 }, "connectTimeoutMs"],
    ["a heartbeat timeout below the interval", { heartbeatTimeoutMs: 1 }, "heartbeatTimeoutMs"],
    ["a server's option", { rateLimit: {} }, "rateLimit"],
  ])("refuses %s", (_name, options, option) => {
    expect(problems({ ...base, ...options })).toEqual([option]);
  });

  test("reports both numbers when the delays contradict each other", () => {
    expect(() => parseClientOptions({ ...base, reconnect: { delayMs: 90_000 } })).toThrow(
      "Invalid option reconnect.maxDelayMs of the client: must be at least reconnect.delayMs (90000), got 30000 (the default)",
    );
  });

  test("doesn't compare delays if one is invalid", () => {
    expect(problems({ ...base, reconnect: { delayMs: "x", maxDelayMs: 1 } })).toEqual(["reconnect.delayMs"]);
  });

  test("suggests the nested name for netconduit's flat name", () => {
    expect(() => parseClientOptions({ ...base, reconnect_attempts: 3 })).toThrow(
      "Unknown option reconnect_attempts of the client; did you mean reconnect.attempts?",
    );
  });

  test.each([
    ["server_host", "host"],
    ["server_port", "port"],
    ["use_ipv6", "ipv6"],
    ["reconnect_delay_max", "reconnect.maxDelayMs"],
    ["reconnect_delay_multiplier", "reconnect.multiplier"],
    ["max_message_size", "maxMessageBytes"],
    ["ssl_cert_file", "tls.cert"],
  ])("suggests the name of netconduit's %s in this library", (theirs, ours) => {
    const message = `Unknown option ${theirs} of the client; did you mean ${ours}?`;
    expect(() => parseClientOptions({ ...base, [theirs]: 1 })).toThrow(message);
  });

  test.each([
    [{ tls: { rejectUnauthorized: false } }, "tls.rejectUnauthorized"],
    [{ tls: true, rejectUnauthorized: false }, "rejectUnauthorized"],
  ])("suggests the alternative to disabling verification: %o", (options, option) => {
    expect(() => parseClientOptions({ ...base, ...options })).toThrow(
      `Unknown option ${option} of the client; certificates are always verified; to trust the server's, give it, or its CA, as tls.ca`,
    );
  });

  test("reports that options must be an object", () => {
    expect(() => parseClientOptions("secret")).toThrow(/^The options of the client must be an object, got a string$/);
  });

  test("throws with the code INVALID_CONFIG", () => {
    expect(() => parseClientOptions({})).toThrow(expect.objectContaining({ code: ErrorCode.INVALID_CONFIG }));
  });
});

describe("options that change after they were passed", () => {
  test("don't change the configuration", () => {
    const reconnect = { enabled: false };
    const given = { ...base, name: "first", reconnect };
    const config = parseClientOptions(given);
    given.name = "second";
    reconnect.enabled = true;
    expect(config).toMatchObject({ name: "first", reconnect: { enabled: false } });
    expect(parseClientOptions(given)).toMatchObject({ name: "second", reconnect: { enabled: true } });
  });

  test("may be an object of a class, whose getters are read", () => {
    class Options {
      readonly host = base.host;
      readonly port = base.port;
      readonly password = base.password;
      get name(): string {
        return "inherited";
      }
    }
    expect(parseClientOptions(new Options()).name).toBe("inherited");
  });

  test.each([
    [
      "credentials with an unknown part",
      { credentials: { username: "ada", password: "p", realm: "x" } },
      ["credentials"],
    ],
    ["credentials as text", { credentials: "ada" }, ["credentials"]],
    ["a token that isn't text", { credentials: { token: 5 } }, ["credentials"]],
    ["a token of a username", { credentials: { token: "t", username: "ada" } }, ["credentials"]],
    [
      "a certificate of a username",
      { credentials: { certificate: true, username: "ada" }, tls: { cert: "c", key: "k" } },
      ["credentials"],
    ],
    ["credentials and a password", { credentials: { token: "t" }, password: "p" }, ["password"]],
    ["credentials and a username", { credentials: { token: "t" }, username: "ada" }, ["username"]],
    ["a certificate without tls.cert", { credentials: { certificate: true } }, ["credentials"]],
  ])("refuses %s", (_what, options, expected) => {
    expect(problems({ host: "localhost", port: 8080, ...options })).toEqual(expected);
  });
});
