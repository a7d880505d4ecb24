import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type AddressInfo, createServer, connect as netConnect } from "node:net";
import { createServer as createTlsServer, connect as tlsConnect } from "node:tls";
import { type ByteStream, ErrorCode, type TlsClientOptions, type TlsServerOptions } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { Recorder } from "../../../conformance/byte-stream/recorder.ts";
import { testFile } from "../../node/test-data/tls/files.ts";
import { connect } from "../src/connect.ts";
import { listening, type TestListener, target } from "./test-support.ts";

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

async function withListener(
  tls: TlsServerOptions | undefined,
  body: (server: TestListener, port: number) => Promise<void>,
  handshakeTimeoutMs?: number,
): Promise<void> {
  const server = await listening({
    host: "127.0.0.1",
    ...(tls === undefined ? {} : { serverTls: tls }),
    ...(handshakeTimeoutMs === undefined ? {} : { handshakeTimeoutMs }),
  });
  try {
    await body(server, (server.listener.address as { port: number }).port);
  } finally {
    await server.listener.close();
  }
}

const dial = (port: number, clientTls: TlsClientOptions, host = "localhost"): Promise<ByteStream> =>
  connect({ ...target({ host, port, clientTls }), family: 4 }, signal);

const refusal = (port: number, clientTls: TlsClientOptions): Promise<unknown> =>
  dial(port, clientTls).then(
    (stream) => {
      stream.destroy(null);
      return "connected";
    },
    (error: unknown) => error,
  );

/** The error a client ends with that writes at once, whether its handshake or its stream fails. */
async function endOf(port: number, clientTls: TlsClientOptions): Promise<unknown> {
  let stream: ByteStream;
  try {
    stream = await dial(port, clientTls);
  } catch (error) {
    return error;
  }
  const recorder = new Recorder();
  recorder.open(stream);
  stream.write(new Uint8Array(200));
  await recorder.whenClosed;
  return recorder.closedCalls[0];
}

describe("a TLS connection", () => {
  test("tells what was negotiated and verified on both sides", () =>
    withListener({ ...serverTls(), ca, requireClientCertificate: true }, async ({ accepted }, port) => {
      const client = await dial(port, clientCertificate("client"));
      const server = await accepted();
      expect(client.tls).toEqual({ protocol: "TLSv1.3", peerVerified: true, peerName: "localhost" });
      expect(server.tls).toEqual({ protocol: "TLSv1.3", peerVerified: true, peerName: "test client" });
      client.destroy(null);
      server.destroy(null);
    }));

  test("a client without a certificate is accepted as unverified where none is required", () =>
    withListener({ ...serverTls(), ca }, async ({ accepted }, port) => {
      const client = await dial(port, { ca });
      const server = await accepted();
      expect(server.tls).toEqual({ protocol: "TLSv1.3", peerVerified: false, peerName: null });
      client.destroy(null);
      server.destroy(null);
    }));

  test("takes PEM text in place of paths, and verifies an IP address", async () => {
    const text = (name: string): Promise<string> => readFile(testFile(name), "utf8");
    const tls = { cert: await text("server.crt"), key: await text("server.key") };
    await withListener(tls, async ({ accepted }, port) => {
      const client = await dial(port, { ca: await text("ca.crt") }, "127.0.0.1");
      expect(client.tls?.peerVerified).toBe(true);
      (await accepted()).destroy(null);
      client.destroy(null);
    });
  });

  test("verifies serverName in place of the host when it is given", () =>
    withListener(serverTls("wrong-name"), async ({ accepted }, port) => {
      const client = await dial(port, { ca, serverName: "elsewhere.example" });
      expect(client.tls?.peerName).toBe("elsewhere.example");
      (await accepted()).destroy(null);
      client.destroy(null);
    }));
});

describe("a TLS client refuses", () => {
  test.each([
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

  test("an unknown CA even with NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment", () =>
    withListener(serverTls("other"), async (_server, port) => {
      process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
      try {
        expect(await refusal(port, { ca })).toMatchObject({ code: ErrorCode.TLS_UNTRUSTED });
      } finally {
        delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      }
    }));

  test.each([
    { what: "answers in plain text", answer: "CNDT\x01\x00 and so on" },
    { what: "hangs up on the handshake", answer: "" },
  ])("a server that $what: TLS_NOT_TLS", async ({ answer }) => {
    const server = createServer((socket) => socket.once("data", () => socket.end(answer)).on("error", () => undefined));
    await once(server.listen(0, "127.0.0.1"), "listening");
    expect(await refusal((server.address() as AddressInfo).port, { ca })).toMatchObject({
      code: ErrorCode.TLS_NOT_TLS,
    });
    server.close();
  });

  test("a server that speaks nothing newer than TLS 1.1", async () => {
    const server = createTlsServer({
      cert: await readFile(testFile("server.crt")),
      key: await readFile(testFile("server.key")),
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    expect(await refusal((server.address() as AddressInfo).port, { ca })).toMatchObject({ code: ErrorCode.TLS_ERROR });
    server.close();
  });

  test("to connect to a port nobody listens at: CONNECTION_REFUSED", async () => {
    let closed = 0;
    await withListener(undefined, async (_server, port) => {
      closed = port;
    });
    expect(await refusal(closed, { ca })).toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
  });
});

describe("a TLS server that requires a client certificate", () => {
  const tls: TlsServerOptions = { ...serverTls(), ca, requireClientCertificate: true };

  test.each([
    { what: "none", options: { ca } },
    { what: "one of another CA", options: clientCertificate("other") },
    { what: "an expired one", options: clientCertificate("expired") },
  ])("refuses $what, and both sides learn TLS_CLIENT_CERTIFICATE_REQUIRED", ({ options }) =>
    withListener(tls, async ({ failed }, port) => {
      // Many times, because what reaches the client first is a matter of timing.
      for (let round = 0; round < 20; round++) {
        expect(await endOf(port, options)).toMatchObject({ code: ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED });
        expect(await failed()).toMatchObject({ code: ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED });
      }
    }),
  );

  test("refuses none over TLS 1.2 as well", () =>
    withListener(tls, async ({ failed }, port) => {
      const socket = tlsConnect({ port, host: "127.0.0.1", ca: await readFile(ca), maxVersion: "TLSv1.2" });
      socket.on("error", () => undefined);
      expect(await failed()).toMatchObject({ code: ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED });
      socket.destroy();
    }));

  test("a certificate that does not verify is refused even where none is required", () =>
    withListener({ ...serverTls(), ca }, async ({ failed }, port) => {
      expect(await endOf(port, clientCertificate("other"))).toMatchObject({
        code: ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED,
      });
      expect(await failed()).toMatchObject({ code: ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED });
    }));

  test("closes cleanly on a client that closes before a word was said", () =>
    withListener(tls, async ({ accepted }, port) => {
      const client = await dial(port, clientCertificate("client"));
      const [atClient, atServer] = [new Recorder(), new Recorder()];
      atClient.open(client);
      atServer.open(await accepted());
      await client.close();
      await atServer.whenClosed;
      expect([atClient.closedCalls, atServer.closedCalls]).toEqual([[null], [null]]);
    }));

  test("ends the connection of a client it has spoken to as an ordinary end", () =>
    withListener(tls, async ({ accepted }, port) => {
      const client = await dial(port, clientCertificate("client"));
      const atClient = new Recorder();
      atClient.open(client);
      const server = await accepted();
      const atServer = new Recorder();
      atServer.open(server);
      server.write(Uint8Array.of(1));
      await server.close();
      await atClient.whenClosed;
      expect(atClient.closedCalls).toEqual([null]);
    }));
});

describe("a TLS server reports", () => {
  test("a client that speaks nothing newer than TLS 1.1", () =>
    withListener(serverTls(), async ({ failed }, port) => {
      const options = {
        port,
        host: "127.0.0.1",
        rejectUnauthorized: false,
        minVersion: "TLSv1",
        maxVersion: "TLSv1.1",
      };
      const socket = tlsConnect(options as object);
      socket.on("error", () => undefined);
      expect(await failed()).toMatchObject({ code: ErrorCode.TLS_ERROR });
      socket.destroy();
    }));

  test("a client in plain text as TLS_NOT_TLS, and accepts the next one", () =>
    withListener(serverTls(), async ({ accepted, failed }, port) => {
      const socket = netConnect(port, "127.0.0.1");
      socket.on("error", () => undefined);
      socket.write("CNDT\x01\x00\x00\x07 and so on, in plain text");
      expect(await failed()).toMatchObject({ code: ErrorCode.TLS_NOT_TLS });
      const client = await dial(port, { ca });
      (await accepted()).destroy(null);
      client.destroy(null);
    }));

  test("a client that never finishes its handshake as CONNECT_TIMEOUT, and drops it", () =>
    withListener(
      serverTls(),
      async ({ failed }, port) => {
        const socket = netConnect(port, "127.0.0.1");
        socket.on("error", () => undefined).resume();
        const dropped = once(socket, "close");
        expect(await failed()).toMatchObject({ code: ErrorCode.CONNECT_TIMEOUT });
        await dropped;
      },
      50,
    ));

  test("a client that hangs up during the handshake as CONNECTION_RESET", () =>
    withListener(serverTls(), async ({ failed }, port) => {
      const socket = netConnect(port, "127.0.0.1", () => socket.end());
      expect(await failed()).toMatchObject({ code: ErrorCode.CONNECTION_RESET });
    }));

  test("nothing of a handshake that fails after close", () =>
    withListener(serverTls(), async ({ listener, failed }, port) => {
      let failures = 0;
      void failed().then(() => failures++);
      const socket = netConnect(port, "127.0.0.1");
      socket.on("error", () => undefined).resume();
      await once(socket, "connect");
      await listener.close();
      const dropped = once(socket, "close");
      socket.write("not TLS at all, not at all");
      await dropped;
      expect(failures).toBe(0);
    }));
});

describe("TLS material", () => {
  const attempt = (tls: TlsServerOptions): Promise<unknown> =>
    listening({ host: "127.0.0.1", serverTls: tls }).then(
      ({ listener }) => listener.close(),
      (error: unknown) => error,
    );

  test.each([
    { what: "a file that does not exist", tls: { ...serverTls(), cert: testFile("absent.crt") }, names: "tls.cert" },
    { what: "a key where a CA belongs", tls: { ...serverTls(), ca: testFile("server.key") }, names: "tls.ca" },
    { what: "a file without PEM as CA", tls: { ...serverTls(), ca: testFile("files.ts") }, names: "tls.ca" },
    { what: "a key of another certificate", tls: { ...serverTls(), key: testFile("client.key") }, names: "tls.key" },
    { what: "a demand without a CA", tls: { ...serverTls(), requireClientCertificate: true }, names: "tls.ca" },
  ])("$what is INVALID_CONFIG, and the message names the option", async ({ tls, names }) => {
    const error = (await attempt(tls)) as Error;
    expect(error).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
    expect(error.message).toContain(names);
  });

  test("a client certificate without its key is INVALID_CONFIG", async () => {
    expect(await refusal(1, { ca, cert: testFile("client.crt") })).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
  });
});
