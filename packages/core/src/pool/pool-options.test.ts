import { describe, expect, test } from "vitest";
import { ConduitError, ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { ClientPool } from "./client-pool.ts";
import { parsePoolOptions } from "./pool-options.ts";

const servers = [{ host: "127.0.0.1", port: 8080 }, { path: "/run/app.sock" }];
const least = { password: "secret", servers };

function problemsOf(options: unknown): string {
  try {
    parsePoolOptions(options);
  } catch (error) {
    if (error instanceof ConduitError && error.code === ErrorCode.INVALID_CONFIG) return error.message;
    throw error;
  }
  throw new Error("The options are valid");
}

test("defaults are filled in, of the pool and of its clients", () => {
  const config = parsePoolOptions(least);
  expect(config).toMatchObject({
    servers,
    size: 1,
    strategy: "round-robin",
    lookupIntervalMs: 30_000,
    rpcTimeoutMs: 30_000,
    tls: null,
    resume: null,
  });
  expect(config).not.toHaveProperty("host");
  expect(config).not.toHaveProperty("path");
});

test("the password and the private key can be read but aren't printed", () => {
  const config = parsePoolOptions(least);
  expect(config.password).toBe("secret");
  expect(JSON.stringify(config)).not.toContain("secret");
  const { tls } = parsePoolOptions({ ...least, tls: { cert: "chain", key: "private" } });
  expect([tls?.key, JSON.stringify(tls)]).toEqual(["private", '{"cert":"chain"}']);
});

describe("refused are", () => {
  test.each([
    [{ password: "secret" }, "Missing option servers of the pool: is required"],
    [{ ...least, servers: [] }, "Invalid option servers of the pool: must list at least one server, got an array"],
    [{ ...least, servers: "a:1" }, 'Invalid option servers of the pool: must be an array, got "a:1"'],
    [
      { ...least, servers: [{ host: "a" }] },
      "Invalid option servers.0.port of the pool: is required unless path is given",
    ],
    [
      { ...least, servers: [{ host: "a", port: 0 }] },
      "Invalid option servers.0.port of the pool: must be an integer from 1 to 65535",
    ],
    [{ ...least, servers: [{ host: "a", port: 1, prot: 2 }] }, "Unknown option servers.0.prot of the pool"],
    [
      { ...least, servers: ["a:1"] },
      'Invalid option servers.0 of the pool: must be an object ({ host, port } or { path }), got "a:1"',
    ],
    [
      { ...least, servers: [{ host: "a:1", port: 1 }] },
      "Invalid option servers.0.host of the pool: must be a name or an address",
    ],
    [{ ...least, size: 0 }, "Invalid option size of the pool: must be an integer from 1 to 1000, got 0"],
    [{ ...least, strategy: "fastest" }, "Invalid option strategy of the pool: must be"],
    [{ ...least, lookupIntervalMs: -1 }, "Invalid option lookupIntervalMs of the pool"],
    [{ ...least, host: "127.0.0.1" }, "Invalid option host of the pool: must be given in servers"],
    [{ ...least, path: "/run/app.sock" }, "Invalid option path of the pool: must be given in servers"],
    [{ servers }, "Missing option password of the pool: is required"],
    [{ ...least, rpcTimeout: 1 }, "Unknown option rpcTimeout of the pool; did you mean rpcTimeoutMs?"],
    [undefined, "The options of the pool must be an object, got undefined"],
    [null, "The options of the pool must be an object, got null"],
  ])("%j", (options, message) => {
    expect(problemsOf(options)).toContain(message);
  });
});

test("a malformed contract is refused as the pool's", () => {
  const make = (): unknown => new ClientPool({ ...least, contract: { sever: {} } as object }, fakeRuntime());
  expect(make).toThrow("Unknown option contract.sever of the pool; did you mean contract.server?");
});
