/** An adapter's `connect` with TLS, and the servers it must reject. */

import { connect as netConnect, type Socket } from "node:net";
import { ErrorCode } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { testFile } from "../../packages/node/test-data/tls/files.ts";
import { Recorder } from "../byte-stream/recorder.ts";
import { attempt, bareServer, closedPort, target } from "./endpoints.ts";
import type { AdapterSubject } from "./subject.ts";
import {
  bareTlsServer,
  ca,
  clientCertificate,
  dial,
  outcome,
  pem,
  refusal,
  serverTls,
  withListener,
} from "./tls-peers.ts";

/** A fatal alert, protocol_version. */
const PROTOCOL_VERSION_ALERT = Uint8Array.of(0x15, 3, 1, 0, 2, 2, 70);

export function describeTlsClient(subject: AdapterSubject): void {
  const { capabilities } = subject;

  describe(`${subject.name} TLS client`, () => {
    test("knows that the server is verified, and who it is where the runtime tells", () =>
      withListener(subject, serverTls(), async ({ port, accepted }) => {
        const client = await dial(subject, port, { ca });
        const told = { protocol: "TLSv1.3", peerName: "localhost" };
        const untold = { protocol: null, peerName: null };
        expect(client.tls).toEqual({ peerVerified: true, ...(capabilities.tlsFacts ? told : untold) });
        (await accepted()).destroy(null);
        client.destroy(null);
      }));

    test("takes PEM text in place of paths, and verifies an IP address", async () => {
      const tls = { cert: await pem("server.crt"), key: await pem("server.key") };
      await withListener(subject, tls, async ({ port, accepted }) => {
        const client = await dial(subject, port, { ca: await pem("ca.crt") }, "127.0.0.1");
        expect(client.tls?.peerVerified).toBe(true);
        (await accepted()).destroy(null);
        client.destroy(null);
      });
    });

    test("verifies serverName in place of the host when it is given", () =>
      withListener(subject, serverTls("wrong-name"), async ({ port, accepted }) => {
        const client = await dial(subject, port, { ca, serverName: "elsewhere.example" });
        expect(client.tls?.peerVerified).toBe(true);
        (await accepted()).destroy(null);
        client.destroy(null);
      }));

    test("that is cut off without a farewell closes; with an error where the runtime notices", async () => {
      const sockets: { destroy(): void }[] = [];
      const port = await bareTlsServer({}, () => {});
      const proxy = await bareServer((socket) => {
        sockets.push(socket, tunnel(socket, port));
      });
      const stream = await dial(subject, proxy, { ca }, "127.0.0.1");
      const recorder = new Recorder();
      recorder.open(stream);
      for (const socket of sockets) socket.destroy();
      await recorder.whenClosed;
      const [error] = recorder.closedCalls;
      const codes: unknown[] = capabilities.noticesTlsCutOff
        ? [ErrorCode.CONNECTION_CLOSED, ErrorCode.CONNECTION_RESET]
        : [undefined, ErrorCode.CONNECTION_RESET];
      expect(codes).toContain((error as { code?: unknown } | null | undefined)?.code);
    });
  });

  describe(`${subject.name} TLS client refuses`, () => {
    const unacceptable = [
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
    ];
    for (const { what, name, tls, code } of unacceptable) {
      test(what, () =>
        withListener(subject, serverTls(name), async ({ port }) => {
          expect(await refusal(subject, port, tls)).toMatchObject({ code });
        }),
      );
    }

    test("an unknown CA even with NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment", () =>
      withListener(subject, serverTls("other"), async ({ port }) => {
        process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
        try {
          expect(await refusal(subject, port, { ca })).toMatchObject({ code: ErrorCode.TLS_UNTRUSTED });
        } finally {
          delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
        }
      }));

    const noTls = [
      { what: "answers in plain text", answer: "CNDT\x01\x00 and so on" },
      { what: "hangs up on the handshake", answer: "" },
    ];
    for (const { what, answer } of noTls) {
      test(`a server that ${what}: TLS_NOT_TLS`, async () => {
        const port = await bareServer((socket) => socket.once("data", () => socket.end(answer)));
        expect(await refusal(subject, port, { ca })).toMatchObject({ code: ErrorCode.TLS_NOT_TLS });
      });
    }

    test("a server that resets the connection on the handshake: TLS_NOT_TLS", async () => {
      const port = await bareServer((socket) => socket.once("data", () => socket.resetAndDestroy()));
      const error = (await refusal(subject, port, { ca })) as Error;
      expect(error).toMatchObject({ code: ErrorCode.TLS_NOT_TLS });
      expect(error.message).toContain("does it speak TLS");
    });

    test("a server whose answer is an alert over the protocol's version: TLS_ERROR", async () => {
      const port = await bareServer((socket) => socket.once("data", () => socket.end(PROTOCOL_VERSION_ALERT)));
      expect(await refusal(subject, port, { ca })).toMatchObject({ code: ErrorCode.TLS_ERROR });
    });

    const { oldTls } = capabilities;
    test.skipIf(oldTls === null)("a server that speaks nothing newer than TLS 1.1: TLS_ERROR", async () => {
      const port = await bareTlsServer({ minVersion: "TLSv1", maxVersion: "TLSv1.1", ...oldTls });
      expect(await refusal(subject, port, { ca })).toMatchObject({ code: ErrorCode.TLS_ERROR });
    });

    test("to connect to a port without a listener: CONNECTION_REFUSED", async () => {
      const port = await closedPort();
      expect(await refusal(subject, port, { ca })).toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
    });
  });

  describe(`${subject.name} TLS client's material`, () => {
    const undecodable = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const mismatched = { ca, cert: testFile("client.crt"), key: testFile("server.key") };
    for (const { what, tls, names } of [
      { what: "a CA that cannot be decoded", tls: { ca: undecodable }, names: "tls.ca" },
      { what: "a key of another certificate", tls: mismatched, names: "tls.key" },
      { what: "an encrypted key", tls: { ...mismatched, key: testFile("encrypted.key") }, names: "encrypted" },
      { what: "a name that is none", tls: { ca, serverName: "two words" }, names: "tls.serverName" },
      { what: "a name with an empty label", tls: { ca, serverName: "a..b" }, names: "tls.serverName" },
    ]) {
      test(`${what} is INVALID_CONFIG, and the message names the option`, async () => {
        const error = await refusal(subject, 1, tls);
        expect(error).toMatchObject({ code: ErrorCode.INVALID_CONFIG, message: expect.stringContaining(names) });
      });
    }

    test("the server's own certificate vouches for nothing if a CA signed it: TLS_UNTRUSTED, and why", () =>
      withListener(subject, serverTls(), async ({ port }) => {
        const error = await refusal(subject, port, { ca: testFile("server.crt") });
        expect(error).toMatchObject({
          code: ErrorCode.TLS_UNTRUSTED,
          message: expect.stringContaining("none of the CAs given as tls.ca signed the server's certificate"),
        });
      }));
  });

  describe(`${subject.name} TLS client, before a server that demands a certificate`, () => {
    const demanding = async (): Promise<number> =>
      bareTlsServer({ ca: await pem("ca.crt"), requestCert: true, rejectUnauthorized: true });

    test("presents the one that it is given, and is accepted", async () => {
      expect(await outcome(subject, await demanding(), clientCertificate("client"))).toEqual(["!".charCodeAt(0)]);
    });

    for (const [what, tls] of [
      ["one of another CA", clientCertificate("other")],
      ["none", { ca }],
    ] as const) {
      test(`ends with TLS_CLIENT_CERTIFICATE_REQUIRED when it has ${what}`, async () => {
        const error = await outcome(subject, await demanding(), tls);
        expect(error).toMatchObject({ code: ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED });
      });
    }

    test("does not connect with a certificate without its key: INVALID_CONFIG", async () => {
      const error = await refusal(subject, 1, { ca, cert: testFile("client.crt") });
      expect(error).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
    });
  });

  test.skipIf(capabilities.tlsOverUnix)(`${subject.name}: TLS over a Unix socket is INVALID_CONFIG`, async () => {
    const error = await attempt(subject, target({ path: "/nowhere/server.sock", clientTls: { ca } }));
    expect(error).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
  });
}

/** Pipes `socket` to and from a port on the loopback interface. */
function tunnel(socket: Socket, port: number): Socket {
  const other = netConnect(port, "127.0.0.1").on("error", () => {});
  socket.pipe(other).pipe(socket);
  return other;
}
