/** An adapter's `listen` with TLS: what it must reject and report. */

import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect as netConnect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as tlsConnect } from "node:tls";
import { ErrorCode, type TlsServerOptions } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { testFile } from "../../packages/node/test-data/tls/files.ts";
import { listenFailure, listening, socketClosed, target } from "./endpoints.ts";
import type { AdapterSubject } from "./subject.ts";
import { ca, dial, pem, serverTls, withListener } from "./tls-peers.ts";

/** A ClientHello of TLS 1.1 with one cipher and no extensions. */
const OLD_HELLO: Uint8Array = Uint8Array.of(
  ...[0x16, 3, 1, 0, 45],
  ...[1, 0, 0, 41, 3, 2],
  ...new Uint8Array(32).fill(7),
  ...[0, 0, 2, 0x00, 0x2f, 1, 0],
);

function bareSocket(port: number): Socket {
  return netConnect(port, "127.0.0.1").on("error", () => {});
}

export function describeTlsServer(subject: AdapterSubject): void {
  const { capabilities } = subject;

  describe(`${subject.name} TLS server reports`, () => {
    test("a client in plain text as TLS_NOT_TLS, and accepts the next one", () =>
      withListener(subject, serverTls(), async ({ port, accepted, failed }) => {
        const socket = bareSocket(port);
        socket.write("CNDT\x01\x00\x00\x07 and so on, in plain text");
        expect(await failed()).toMatchObject({ code: ErrorCode.TLS_NOT_TLS });
        const client = await dial(subject, port, { ca });
        (await accepted()).destroy(null);
        client.destroy(null);
        socket.destroy();
      }));

    test("a client that offers nothing newer than TLS 1.1 as TLS_ERROR", () =>
      withListener(subject, serverTls(), async ({ port, failed }) => {
        const socket = bareSocket(port);
        socket.write(OLD_HELLO);
        expect(await failed()).toMatchObject({ code: ErrorCode.TLS_ERROR });
        socket.destroy();
      }));

    const { oldTls } = capabilities;
    test.skipIf(oldTls === null)("a client that would agree on TLS 1.1 as TLS_ERROR", () =>
      withListener(subject, serverTls(), async ({ port, failed }) => {
        const options = { port, host: "127.0.0.1", minVersion: "TLSv1", maxVersion: "TLSv1.1", ...oldTls };
        const socket = tlsConnect({ ...options, rejectUnauthorized: false } as object);
        socket.on("error", () => {});
        expect(await failed()).toMatchObject({ code: ErrorCode.TLS_ERROR });
        socket.destroy();
      }),
    );

    test("a client that never finishes its handshake as CONNECT_TIMEOUT, and drops it", () =>
      withListener(
        subject,
        serverTls(),
        async ({ port, failed }) => {
          const socket = bareSocket(port).resume();
          expect(await failed()).toMatchObject({ code: ErrorCode.CONNECT_TIMEOUT });
          await hungUp(socket);
        },
        { handshakeTimeoutMs: 50 },
      ));

    test("the oldest handshake as SERVER_FULL when there is one too many, once, and lets others in", () =>
      withListener(
        subject,
        serverTls(),
        async ({ port, accepted, failed }) => {
          const silent = [bareSocket(port).resume(), bareSocket(port).resume()];
          await Promise.all(silent.map((socket) => once(socket, "connect")));
          const client = await dial(subject, port, { ca });
          expect(await failed()).toMatchObject({ code: ErrorCode.SERVER_FULL });
          await hungUp(silent[0] as Socket);
          (await accepted()).destroy(null);
          client.destroy(null);
          silent[1]?.destroy();
          // The dropped client was reported once, so the next failure is from the client that disconnected.
          expect(await failed()).toMatchObject({ code: ErrorCode.CONNECTION_RESET });
        },
        { maxPendingHandshakes: 2 },
      ));

    test.skipIf(!capabilities.tlsOverUnix)(
      "the oldest handshake as SERVER_FULL when there is one too many on a Unix socket, too, and lets others in",
      async () => {
        const directory = mkdtempSync(join(tmpdir(), "netconduit-"));
        const path = join(directory, "tls.sock");
        const server = await listening(subject, { path, serverTls: serverTls(), maxPendingHandshakes: 2 });
        const silent = [netConnect(path).resume(), netConnect(path).resume()];
        await Promise.all(silent.map((socket) => once(socket, "connect")));
        for (let client = 0; client < 3; client++) {
          const stream = await subject.connect(
            target({ path, clientTls: { ca, serverName: "localhost" } }),
            new AbortController().signal,
          );
          (await server.accepted()).destroy(null);
          stream.destroy(null);
        }
        expect(await server.failed()).toMatchObject({ code: ErrorCode.SERVER_FULL });
        await hungUp(silent[0] as Socket);
        silent[1]?.destroy();
        expect(await server.failed()).toMatchObject({ code: ErrorCode.CONNECTION_RESET });
        await server.listener.close();
        rmSync(directory, { recursive: true });
      },
    );

    test("a client that hangs up during the handshake as CONNECTION_RESET", () =>
      withListener(subject, serverTls(), async ({ port, failed }) => {
        const socket = netConnect(port, "127.0.0.1", () => socket.end());
        expect(await failed()).toMatchObject({ code: ErrorCode.CONNECTION_RESET });
      }));

    test("nothing of a handshake that fails after close", async () => {
      const { listener, port, failed } = await listening(subject, { host: "127.0.0.1", serverTls: serverTls() });
      let failures = 0;
      void failed().then(() => failures++);
      const socket = bareSocket(port).resume();
      await once(socket, "connect");
      await listener.close();
      socket.write("not TLS at all, not at all");
      await hungUp(socket);
      expect(failures).toBe(0);
    });

    /** Resolves when the server has closed the connection, if its runtime can. */
    async function hungUp(socket: Socket): Promise<void> {
      if (capabilities.dropsHandshakes) await socketClosed(socket);
      socket.destroy();
    }
  });

  describe(`${subject.name} TLS server's material`, () => {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const rsaKey = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    const undecodable = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const chain = readFileSync(testFile("server.crt"), "utf8") + undecodable;
    const unusable: { what: string; tls: TlsServerOptions; names: string }[] = [
      { what: "a file that does not exist", tls: { ...serverTls(), cert: testFile("absent.crt") }, names: "tls.cert" },
      { what: "a certificate where a key belongs", tls: { ...serverTls(), key: testFile("ca.crt") }, names: "tls.key" },
      { what: "a key of another certificate", tls: { ...serverTls(), key: testFile("client.key") }, names: "tls.key" },
      { what: "an RSA key beside an EC certificate", tls: { ...serverTls(), key: rsaKey }, names: "tls.key" },
      { what: "an encrypted key", tls: { ...serverTls(), key: testFile("encrypted.key") }, names: "encrypted" },
      { what: "a certificate that cannot be decoded", tls: { ...serverTls(), cert: undecodable }, names: "tls.cert" },
      { what: "a chain with a broken certificate", tls: { ...serverTls(), cert: chain }, names: "certificate 2 of 2" },
      ...(capabilities.clientCertificates
        ? [
            { what: "a CA that cannot be decoded", tls: { ...serverTls(), ca: undecodable }, names: "tls.ca" },
            { what: "a key where a CA belongs", tls: { ...serverTls(), ca: testFile("server.key") }, names: "tls.ca" },
            { what: "a file without PEM as CA", tls: { ...serverTls(), ca: testFile("files.ts") }, names: "tls.ca" },
            { what: "a demand without a CA", tls: { ...serverTls(), requireClientCertificate: true }, names: "tls.ca" },
          ]
        : [
            { what: "a CA for client certificates", tls: { ...serverTls(), ca }, names: "tls.ca" },
            {
              what: "a demand for client certificates",
              tls: { ...serverTls(), ca, requireClientCertificate: true },
              names: "tls.requireClientCertificate",
            },
          ]),
    ];
    for (const { what, tls, names } of unusable) {
      test(`${what} is INVALID_CONFIG, and the message names the option`, async () => {
        const error = await listenFailure(subject, { host: "127.0.0.1", serverTls: tls });
        expect(error).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
        expect(error.message).toContain(names);
      });
    }

    test("a key that is no key is INVALID_CONFIG", async () => {
      const key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
      const error = await listenFailure(subject, {
        host: "127.0.0.1",
        serverTls: { cert: await pem("server.crt"), key },
      });
      expect(error).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
    });

    test.skipIf(capabilities.tlsOverUnix)("does not go with a Unix socket: INVALID_CONFIG", async () => {
      const error = await listenFailure(subject, { path: "/nowhere/server.sock", serverTls: serverTls() });
      expect(error).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
    });
  });
}
