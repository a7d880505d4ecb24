/** TLS servers of adapters that can request client certificates. */

import { connect as tlsConnect } from "node:tls";
import { ErrorCode, type TlsServerOptions } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { Recorder } from "../byte-stream/recorder.ts";
import type { AdapterSubject } from "./subject.ts";
import { ca, clientCertificate, dial, outcome, pem, serverTls, withListener } from "./tls-peers.ts";

const REFUSED = { code: ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED };

export function describeClientCertificates(subject: AdapterSubject): void {
  const demanding: TlsServerOptions = { ...serverTls(), ca, requireClientCertificate: true };
  const asking: TlsServerOptions = { ...serverTls(), ca };

  describe(`${subject.name} TLS server that asks for client certificates`, () => {
    test("knows whose certificate a client has", () =>
      withListener(subject, demanding, async ({ port, accepted }) => {
        const client = await dial(subject, port, clientCertificate("client"));
        const server = await accepted();
        expect(server.tls).toEqual({ protocol: "TLSv1.3", peerVerified: true, peerName: "test client" });
        client.destroy(null);
        server.destroy(null);
      }));

    test("accepts a client without one as unverified where none is required", () =>
      withListener(subject, asking, async ({ port, accepted }) => {
        const client = await dial(subject, port, { ca });
        const server = await accepted();
        expect(server.tls).toEqual({ protocol: "TLSv1.3", peerVerified: false, peerName: null });
        client.destroy(null);
        server.destroy(null);
      }));

    test("refuses one that does not verify even where none is required, and both sides learn it", () =>
      withListener(subject, asking, async ({ port, failed }) => {
        expect(await outcome(subject, port, clientCertificate("other"))).toMatchObject(REFUSED);
        expect(await failed()).toMatchObject(REFUSED);
      }));

    for (const [what, options] of [
      ["none", { ca }],
      ["one of another CA", clientCertificate("other")],
      ["an expired one", clientCertificate("expired")],
    ] as const) {
      test(`refuses ${what} where one is required, and both sides learn it`, () =>
        withListener(subject, demanding, async ({ port, failed }) => {
          // Repeated, because what reaches the client first depends on timing.
          for (let round = 0; round < 20; round++) {
            expect(await outcome(subject, port, options)).toMatchObject(REFUSED);
            expect(await failed()).toMatchObject(REFUSED);
          }
        }));
    }

    test("refuses none over TLS 1.2 as well", () =>
      withListener(subject, demanding, async ({ port, failed }) => {
        const socket = tlsConnect({ port, host: "127.0.0.1", ca: await pem("ca.crt"), maxVersion: "TLSv1.2" });
        socket.on("error", () => {});
        expect(await failed()).toMatchObject(REFUSED);
        socket.destroy();
      }));

    test("closes cleanly on a client that closes before a word was said", () =>
      withListener(subject, demanding, async ({ port, accepted }) => {
        const client = await dial(subject, port, clientCertificate("client"));
        const [atClient, atServer] = [new Recorder(), new Recorder()];
        atClient.open(client);
        atServer.open(await accepted());
        await client.close();
        await atServer.whenClosed;
        expect([atClient.closedCalls, atServer.closedCalls]).toEqual([[null], [null]]);
      }));

    test("ends the connection of a client it has spoken to as an ordinary end", () =>
      withListener(subject, demanding, async ({ port, accepted }) => {
        const client = await dial(subject, port, clientCertificate("client"));
        const [atClient, atServer] = [new Recorder(), new Recorder()];
        atClient.open(client);
        const server = await accepted();
        atServer.open(server);
        server.write(Uint8Array.of(1));
        await server.close();
        await atClient.whenClosed;
        expect(atClient.closedCalls).toEqual([null]);
      }));
  });
}
