import { describe, expect, test } from "vitest";
import { ConduitError, ErrorCode } from "../errors.ts";
import { parseServerOptions } from "../server/server-options.ts";
import { parseContract } from "./contract-option.ts";
import { OptionProblems } from "./option-problems.ts";

function failure(run: () => unknown): ConduitError {
  try {
    run();
  } catch (error) {
    if (error instanceof ConduitError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

const failed = (options: unknown): ConduitError => failure(() => parseServerOptions(options));

describe("problems of options", () => {
  test("is an error INVALID_CONFIG that names the option, the rule and the value", () => {
    const error = failed({ password: "p", port: 70_000 });
    expect(error.code).toBe(ErrorCode.INVALID_CONFIG);
    expect(error.message).toBe("Invalid option port of the server: must be an integer from 0 to 65535, got 70000");
  });

  test("is listed in full when there is more than one problem", () => {
    const error = failed({ password: "p", port: "80", maxConnection: 5, heartbeatTimeoutMs: 20_000 });
    expect(error.message).toBe(
      [
        "3 problems in the options of the server:",
        '- Invalid option port: must be an integer from 0 to 65535, got "80"',
        "- Unknown option maxConnection; did you mean maxConnections?",
        "- Invalid option heartbeatTimeoutMs: must be greater than heartbeatIntervalMs (30000), got 20000",
      ].join("\n"),
    );
  });

  test("is listed for programs in details.problems", () => {
    expect(failed({ password: "p", port: Number.NaN, nonsense: true }).details).toEqual({
      problems: [
        { option: "port", rule: "must be an integer from 0 to 65535", received: "NaN" },
        { option: "nonsense", rule: "is unknown", received: "a boolean" },
      ],
    });
  });

  test("names an option once, even if it breaks several parts of its rule", () => {
    expect(failed({ password: "p", port: -1.5 }).details?.["problems"]).toHaveLength(1);
  });

  test("lists the options whose names contain an unknown one, or those of its group", () => {
    expect(failed({ password: "p", timeout: 5 }).message).toBe(
      "Unknown option timeout of the server; did you mean heartbeatTimeoutMs, rpcTimeoutMs, closeTimeoutMs, connectionTimeoutMs or authTimeoutMs?",
    );
    expect(failed({ password: "p", rateLimit: { burst: 5 } }).message).toBe(
      "Unknown option rateLimit.burst of the server; it takes messagesPerSecond, bytesPerSecond",
    );
    expect(failure(() => parseContract({ methods: {} } as never, false, "the server")).message).toBe(
      "Unknown option contract.methods of the server; it takes server, client, clients, topics",
    );
  });

  test.each([
    ["maxConnection", "maxConnections"],
    ["max_connections", "maxConnections"],
    ["heartbeat_interval", "heartbeatIntervalMs"],
    ["passwrod", "password"],
    ["hots", "host"],
    ["HOST", "host"],
  ])("suggests the nearest name for %s", (name, suggestion) => {
    expect(failed({ password: "p", [name]: 1 }).message).toBe(
      `Unknown option ${name} of the server; did you mean ${suggestion}?`,
    );
  });

  test("suggests the nested name for an unknown option inside a group", () => {
    const error = failed({ password: "p", rateLimit: { messagePerSecond: 5 } });
    expect(error.message).toBe(
      "Unknown option rateLimit.messagePerSecond of the server; did you mean rateLimit.messagesPerSecond?",
    );
  });

  test("suggests nothing when no name is near", () => {
    expect(failed({ password: "p", zebra: 1 }).message).toBe("Unknown option zebra of the server");
  });

  test("says that a required option is missing", () => {
    expect(failed({}).message).toBe(
      "Missing option password of the server: is required unless users or authenticate are given",
    );
  });

  test.each([
    ["undefined", undefined, "undefined"],
    ["null", null, "null"],
    ["text", "hunter2", "a string"],
  ])("says that options must be an object when they are %s", (_name, options, received) => {
    expect(failed(options).message).toBe(`The options of the server must be an object, got ${received}`);
  });

  test.each([
    ["a password of the wrong type", { password: 834_251 }, "834251"],
    ["a misspelt password", { password: "p", pasword: "834251" }, "834251"],
    ["a TLS key of the wrong type", { password: "p", tls: { cert: "c", key: 834_251 } }, "834251"],
    ["options that are just the password", "834251", "834251"],
  ])("never shows the value of %s", (_name, options, secret) => {
    const error = failed(options);
    expect(`${error.message}${JSON.stringify(error.details)}`).not.toContain(secret);
  });

  test("clips a long value", () => {
    expect(failed({ password: "p", port: "x".repeat(10_000) }).message.length).toBeLessThan(150);
  });
});

describe("OptionProblems", () => {
  test("throws nothing when nothing is wrong", () => {
    expect(() => new OptionProblems("the client", [], []).throwIfAny()).not.toThrow();
  });

  test("says when the value that breaks a rule is a default", () => {
    const problems = new OptionProblems("the client", [], []);
    problems.add("b", "must be greater than a (5)", 3, true);
    expect(() => problems.throwIfAny()).toThrow(
      "Invalid option b of the client: must be greater than a (5), got 3 (the default)",
    );
  });

  test("keeps the first problem of an option", () => {
    const problems = new OptionProblems("the client", [], []);
    problems.add("a", "must be a number", "x");
    problems.add("a", "must be small", "x");
    expect(() => problems.throwIfAny()).toThrow(/^Invalid option a of the client: must be a number, got "x"$/);
  });
});
