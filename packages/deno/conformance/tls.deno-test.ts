import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type AddressInfo, createServer, connect as netConnect } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { type ByteStream, ErrorCode, type TlsClientOptions, type TlsServerOptions } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { Recorder } from "../../../conformance/byte-stream/recorder.ts";
import { testFile } from "../../node/test-data/tls/files.ts";
import { connect } from "../src/connect.ts";
import { connectedPair, listening, type TestListener, target } from "./test-support.ts";

const signal = new AbortController().signal;
const ca = testFile("ca.crt");
const serverTls = (name = "server"): TlsServerOptions => ({
  cert: testFile(`${name}.crt`),
  key: testFile(`${name}.key`),
});
const clientCertificate = (name: string): TlsClientOptions => ({
  ca,
  cert: testFile(`${name}.crt`),
  key: testFile(`${name}.key`),
});
const ignore = (): void => {
  // An "error" event without a listener would end the process.
};
const text = (name: string): Promise<string> => readFile(testFile(name), "utf8");

async function withListener(
  tls: TlsServerOptions,
  body: (server: TestListener, port: number) => Promise<void>,
  handshakeTimeoutMs?: number,
): Promise<void> {
  const server = await listening({
    host: "127.0.0.1",
    serverTls: tls,
    ...(handshakeTimeoutMs === undefined ? {} : { handshakeTimeoutMs }),
  });
  try {
    await body(server, server.listener.address.port);
  } finally {
    await server.listener.close();
  }
}

const dial = (port: number, clientTls: TlsClientOptions, host = "localhost"): Promise<ByteStream> =>
  connect({ ...target({ host, port, clientTls }), family: clientTls.cert === undefined ? 4 : 0 }, signal);

const refusal = (port: number, clientTls: TlsClientOptions, host?: string): Promise<unknown> =>
  dial(port, clientTls, host).then(
    (stream) => {
      stream.destroy(null);
      return "connected";
    },
    (error: unknown) => error,
  );

describe("a TLS connection", () => {
  test("knows on the client's side that the server is verified, and nothing else", async () => {
    const tls = { host: "127.0.0.1", serverTls: serverTls(), clientTls: { ca } };
    const { a, b, dispose } = await connectedPair(tls);
    expect(a.tls).toEqual({ protocol: null, peerVerified: true, peerName: null });
    expect(b.tls).toEqual({ protocol: null, peerVerified: false, peerName: null });
    a.destroy(null);
    b.destroy(null);
    await dispose();
  });

  test("takes PEM text in place of paths, and verifies an IP address", async () => {
    const tls = { cert: await text("server.crt"), key: await text("server.key") };
    await withListener(tls, async ({ accepted }, port) => {
      const client = await dial(port, { ca: await text("ca.crt") }, "127.0.0.1");
      (await accepted()).destroy(null);
      client.destroy(null);
    });
  });

  test("verifies serverName in place of the host when it is given", () =>
    withListener(serverTls("wrong-name"), async ({ accepted }, port) => {
      const client = await dial(port, { ca, serverName: "elsewhere.example" });
      (await accepted()).destroy(null);
      client.destroy(null);
    }));

  test("that is cut off without a farewell closes with an error, not cleanly", async () => {
    const server = createTlsServer({ cert: await text("server.crt"), key: await text("server.key") });
    await once(server.listen(0, "127.0.0.1"), "listening");
    const sockets: { destroy(): void }[] = [];
    server.on("connection", (socket) => sockets.push(socket));
    const stream = await dial((server.address() as AddressInfo).port, { ca }, "127.0.0.1");
    const recorder = new Recorder();
    recorder.open(stream);
    for (const socket of sockets) socket.destroy();
    await recorder.whenClosed;
    const codes: unknown[] = [ErrorCode.CONNECTION_CLOSED, ErrorCode.CONNECTION_RESET];
    expect(codes).toContain((recorder.closedCalls[0] as { code?: unknown } | null)?.code);
    server.close();
  });
});

describe("a TLS client refuses", () => {
  test.for([
    { what: "a certificate of an unknown CA", name: "other", tls: { ca }, code: ErrorCode.TLS_UNTRUSTED },
    { what: "a private CA when none is given", name: "server", tls: {}, code: ErrorCode.TLS_UNTRUSTED },
    { what: "a certificate for another name", name: "wrong-name", tls: { ca }, code: ErrorCode.TLS_WRONG_NAME },
    {
      what: "a certificate that is not valid for serverName",
      name: "server",
      tls: { ca, serverName: "elsewhere.example" },
      code: ErrorCode.TLS_WRONG_NAME,
    },
    {
      what: "a certificate that is not valid for an IP address as serverName",
      name: "server",
      tls: { ca, serverName: "192.0.2.1" },
      code: ErrorCode.TLS_WRONG_NAME,
    },
    { what: "an expired certificate", name: "expired", tls: { ca }, code: ErrorCode.TLS_EXPIRED },
  ])("$what", ({ name, tls, code }) =>
    withListener(serverTls(name), async (_server, port) => {
      expect(await refusal(port, tls)).toMatchObject({ code });
    }),
  );

  test.for([
    { what: "answers in plain text", answer: "CNDT\x01\x00 and so on" },
    { what: "hangs up on the handshake", answer: "" },
  ])("a server that $what: TLS_NOT_TLS", async ({ answer }) => {
    const server = createServer((socket) => socket.once("data", () => socket.end(answer)).on("error", ignore));
    await once(server.listen(0, "127.0.0.1"), "listening");
    expect(await refusal((server.address() as AddressInfo).port, { ca })).toMatchObject({
      code: ErrorCode.TLS_NOT_TLS,
    });
    server.close();
  });
});

describe("a client certificate", () => {
  /** A server that demands one (Deno's can't), and sends a byte to whoever has it. */
  async function demanding(): Promise<{ port: number; close(): void }> {
    const server = createTlsServer(
      {
        cert: await text("server.crt"),
        key: await text("server.key"),
        ca: await text("ca.crt"),
        requestCert: true,
        rejectUnauthorized: true,
      },
      (socket) => socket.on("error", ignore).write("!"),
    );
    server.on("tlsClientError", ignore);
    await once(server.listen(0, "127.0.0.1"), "listening");
    return { port: (server.address() as AddressInfo).port, close: () => server.close() };
  }

  /** The error that a client ends with, or the first byte it gets. */
  async function outcome(port: number, tls: TlsClientOptions): Promise<unknown> {
    let stream: ByteStream;
    try {
      stream = await dial(port, tls, "127.0.0.1");
    } catch (error) {
      return error;
    }
    const recorder = new Recorder();
    recorder.open(stream);
    const received = await recorder.received(1).catch(() => null);
    stream.destroy(null);
    await recorder.whenClosed;
    return received === null ? recorder.closedCalls[0] : [...recorder.bytes()];
  }

  test("that the server's CA signed is presented and accepted", async () => {
    const { port, close } = await demanding();
    expect(await outcome(port, clientCertificate("client"))).toEqual(["!".charCodeAt(0)]);
    close();
  });

  test.for([
    { what: "of another CA", tls: clientCertificate("other") },
    { what: "that is missing", tls: { ca } },
  ])("$what ends with TLS_CLIENT_CERTIFICATE_REQUIRED", async ({ tls }) => {
    const { port, close } = await demanding();
    expect(await outcome(port, tls)).toMatchObject({ code: ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED });
    close();
  });

  test("together with another serverName is INVALID_CONFIG, because Deno can't", async () => {
    const error = (await refusal(1, { ...clientCertificate("client"), serverName: "elsewhere.example" })) as Error;
    expect(error).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
    expect(error.message).toContain("tls.serverName");
  });

  test("without its key is INVALID_CONFIG", async () => {
    expect(await refusal(1, { ca, cert: testFile("client.crt") })).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
  });

  test.for([
    { option: "tls.requireClientCertificate", tls: { ...serverTls(), ca, requireClientCertificate: true } },
    { option: "tls.ca", tls: { ...serverTls(), ca } },
  ])("cannot be asked for by a server: $option is INVALID_CONFIG", async ({ option, tls }) => {
    const error = (await listening({ host: "127.0.0.1", serverTls: tls }).catch((cause: unknown) => cause)) as Error;
    expect(error).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
    expect(error.message).toContain(option);
  });
});

describe("a TLS server reports", () => {
  test("a client in plain text as TLS_NOT_TLS, and accepts the next one", () =>
    withListener(serverTls(), async ({ accepted, failed }, port) => {
      const socket = netConnect(port, "127.0.0.1");
      socket.on("error", ignore);
      socket.write("CNDT\x01\x00\x00\x07 and so on, in plain text");
      expect(await failed()).toMatchObject({ code: ErrorCode.TLS_NOT_TLS });
      socket.destroy();
      const client = await dial(port, { ca });
      (await accepted()).destroy(null);
      client.destroy(null);
    }));

  test("a client that never finishes its handshake as CONNECT_TIMEOUT", () =>
    withListener(
      serverTls(),
      async ({ failed }, port) => {
        const socket = netConnect(port, "127.0.0.1");
        expect(await failed()).toMatchObject({ code: ErrorCode.CONNECT_TIMEOUT });
        // Deno drops it when the client hangs up: https://github.com/denoland/deno/pull/14547
        socket.destroy();
      },
      50,
    ));

  test("one handshake more than maxPendingHandshakes as SERVER_FULL", async () => {
    const { listener, failed } = await listening({
      host: "127.0.0.1",
      serverTls: serverTls(),
      maxPendingHandshakes: 1,
    });
    const sockets = [0, 1].map(() => netConnect(listener.address.port, "127.0.0.1"));
    expect(await failed()).toMatchObject({ code: ErrorCode.SERVER_FULL });
    for (const socket of sockets) socket.destroy();
    await listener.close();
  });

  test("a client that hangs up during the handshake as CONNECTION_RESET", () =>
    withListener(serverTls(), async ({ failed }, port) => {
      const socket = netConnect(port, "127.0.0.1", () => socket.end());
      expect(await failed()).toMatchObject({ code: ErrorCode.CONNECTION_RESET });
    }));

  test("a client that does not trust it as TLS_UNTRUSTED", () =>
    withListener(serverTls(), async ({ failed }, port) => {
      await refusal(port, {});
      expect(await failed()).toMatchObject({ code: ErrorCode.TLS_UNTRUSTED });
    }));
});

describe("TLS material", () => {
  test.for([
    { what: "a file that does not exist", tls: { ...serverTls(), cert: testFile("absent.crt") }, names: "tls.cert" },
    { what: "a certificate where a key belongs", tls: { ...serverTls(), key: testFile("ca.crt") }, names: "tls.key" },
    { what: "a key of another certificate", tls: { ...serverTls(), key: testFile("client.key") }, names: "tls.key" },
  ])("$what is INVALID_CONFIG, and the message names the option", async ({ tls, names }) => {
    const error = (await listening({ host: "127.0.0.1", serverTls: tls }).catch((cause: unknown) => cause)) as Error;
    expect(error).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
    expect(error.message).toContain(names);
  });

  test("does not go with a Unix socket: INVALID_CONFIG on both sides", async () => {
    const path = "/nowhere/server.sock";
    const refusals = [
      await listening({ path, serverTls: serverTls() }).catch((cause: unknown) => cause),
      await connect(target({ path, clientTls: { ca } }), signal).catch((cause: unknown) => cause),
    ];
    expect(refusals).toMatchObject([{ code: ErrorCode.INVALID_CONFIG }, { code: ErrorCode.INVALID_CONFIG }]);
  });
});
