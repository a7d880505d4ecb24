import { ConduitError, ErrorCode } from "@netconduit/core";
import { expect, test } from "vitest";
import { natsCluster } from "./nats-cluster.ts";
import { type NatsClusterOptions, parseNatsOptions } from "./nats-options.ts";

const needed = { servers: "nats://127.0.0.1:4222", name: "fleet" };

function problemOf(options: object): string {
  try {
    natsCluster({ ...needed, ...options } as NatsClusterOptions);
  } catch (error) {
    if (error instanceof ConduitError && error.code === ErrorCode.INVALID_CONFIG) return error.message;
    throw error;
  }
  return "none";
}

test.each([
  [{ name: "" }, 'Invalid option name of natsCluster: must be 1 to 64 characters A-Z a-z 0-9 _ -, got ""'],
  [{ name: "a.b" }, 'Invalid option name of natsCluster: must be 1 to 64 characters A-Z a-z 0-9 _ -, got "a.b"'],
  [
    { name: undefined },
    "Invalid option name of natsCluster: must be 1 to 64 characters A-Z a-z 0-9 _ -, got undefined",
  ],
  [{ servers: undefined }, "Invalid option servers of natsCluster: must name at least one server, got undefined"],
  [{ servers: [] }, "Invalid option servers of natsCluster: must name at least one server, got "],
  [
    { servers: "localhost" },
    'Invalid option servers of natsCluster: must be URLs such as nats://host:4222 or tls://host:4222, got "localhost"',
  ],
  [
    { servers: "nats://ada:secret@host" },
    "Invalid option servers of natsCluster: a URL has a user or password; give them as the options user and pass, or token",
  ],
  [{ user: "ada", token: "t" }, "Invalid options user, token of natsCluster: only one of them can be given"],
  [{ pass: "secret" }, 'Invalid option pass of natsCluster: needs the option user, got "…"'],
  [
    { subjectPrefix: "a.*" },
    'Invalid option subjectPrefix of natsCluster: must be words of A-Z a-z 0-9 _ -, with points between them, got "a.*"',
  ],
  [{ replicas: 2 }, "Invalid option replicas of natsCluster: must be 1, 3 or 5, got 2"],
  [
    { maxPayloadBytes: 0 },
    "Invalid option maxPayloadBytes of natsCluster: must be a whole number of at least 1, got 0",
  ],
  [
    { servers: "ws://host:8080" },
    'Invalid option servers of natsCluster: can\'t be WebSockets without the option connect: wsconnect of @nats-io/nats-core, got "ws://host:8080"',
  ],
  [
    { servers: ["wss://host", "nats://host"], connect: async () => ({}) },
    'Invalid option servers of natsCluster: must all be WebSockets, or none, got "nats://host"',
  ],
  [
    { servers: "ws://host", tls: true, connect: async () => ({}) },
    "Invalid option tls of natsCluster: isn't for WebSockets: use wss:// and the certificates that the runtime trusts, got true",
  ],
  [{ connect: 5 }, "Invalid option connect of natsCluster: must be a function, got 5"],
])("invalid options %j are rejected with the rule and the value", (options, problem) => {
  expect(problemOf(options)).toBe(problem);
});

test.each(["http://ada:secret@host", "nats://ada:secret@ho st", "wss://ada:secret@host", "ada:secret@host"])(
  "the password in an unusable URL isn't shown: %s",
  (servers) => {
    expect(problemOf({ servers })).toBe(
      "Invalid option servers of natsCluster: a URL has a user or password; give them as the options user and pass, or token",
    );
  },
);

test("unknown and missing options are rejected", () => {
  expect(problemOf({ sevrers: "nats://host" })).toMatch(
    /^Unknown option sevrers of natsCluster; it has servers, name, user, /,
  );
  expect(() => natsCluster(undefined as never)).toThrow(
    expect.objectContaining({
      code: ErrorCode.INVALID_CONFIG,
      message: expect.stringContaining("natsCluster({ servers:"),
    }),
  );
});

test("subjects begin with netconduit and the cluster's name unless another prefix is chosen", () => {
  expect(parseNatsOptions(needed).subjectPrefix).toBe("netconduit.fleet");
  expect(parseNatsOptions({ ...needed, subjectPrefix: "chat" }).subjectPrefix).toBe("chat");
});

test("TLS is required by a tls:// URL, by true and by options, and disabled by false", () => {
  expect(parseNatsOptions(needed).login.tls).toBeUndefined();
  const checkServerIdentity = expect.any(Function);
  expect(parseNatsOptions({ ...needed, servers: "tls://host" }).login.tls).toEqual({ checkServerIdentity });
  expect(parseNatsOptions({ ...needed, tls: true }).login.tls).toEqual({ checkServerIdentity });
  const tls = { caFile: "ca.pem" };
  expect(parseNatsOptions({ ...needed, tls }).login.tls).toEqual({ ...tls, checkServerIdentity });
  expect(parseNatsOptions({ ...needed, tls: false }).login.tls).toBeNull();
});

test("WebSocket URLs require a transport in the option connect and permit no TLS options", () => {
  const connect = async (): Promise<object> => ({});
  const config = parseNatsOptions({ ...needed, servers: ["ws://host:8080", "wss://host"], connect, tls: false });
  expect(config).toMatchObject({ servers: ["ws://host:8080", "wss://host"], connect, login: { tls: null } });
});

test("options common to all clusters are passed on, but not those of NATS", () => {
  const { options } = natsCluster({ ...needed, nodeId: "a", heartbeatMs: 500, token: "secret" });
  expect(options).toEqual({ nodeId: "a", heartbeatMs: 500 });
});
