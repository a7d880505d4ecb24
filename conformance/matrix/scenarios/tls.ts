import assert from "node:assert/strict";
import { ErrorCode, type TlsClientOptions, type TlsServerOptions } from "@netconduit/core";
import { EventLog } from "../../../packages/core/src/testing/event-log.ts";
import { testFile } from "../../../packages/node/test-data/tls/files.ts";
import { failureOf } from "../../support/failures.ts";
import type { Scenario } from "../scenario.ts";
import type { ServerHalf } from "../server-half.ts";

const ca = testFile("ca.crt");
const serverTls = { cert: testFile("server.crt"), key: testFile("server.key") };
const demanding = { ...serverTls, ca, requireClientCertificate: true };
const clientTls = { ca, cert: testFile("client.crt"), key: testFile("client.key") };

/** A client rejects the server's certificate; the server keeps running. */
function refusedScenario(
  title: string,
  certificate: TlsServerOptions,
  tls: true | TlsClientOptions,
  code: number,
): Scenario {
  return {
    title,
    async server(half) {
      const server = half.server({ tls: certificate });
      await half.open(server);
      await half.waitFor("refused");
      assert.deepEqual([server.isRunning, server.stats.loggedIn], [true, 0]);
    },
    async client(half) {
      const client = await half.client({ tls });
      assert.equal((await failureOf(client.connect())).code, code);
      assert.equal(client.state, "failed");
      half.tell("refused");
    },
  };
}

/** Opens a server that requests client certificates. If the runtime doesn't support them, checks that starting fails. */
async function openDemanding(half: ServerHalf, tls: TlsServerOptions): Promise<ReturnType<ServerHalf["open"]> | null> {
  const { clientCertificates } = half.subject.capabilities;
  half.tell("clientCertificates", clientCertificates);
  const server = half.server({ tls });
  if (clientCertificates) return half.open(server);
  const failure = await failureOf(server.start());
  assert.equal(failure.code, ErrorCode.INVALID_CONFIG);
  assert.match(failure.message, /tls\.(ca|requireClientCertificate)/);
  assert.equal(server.state, "stopped");
  return null;
}

/** A server that requires a certificate rejects a client. */
function demandScenario(what: string, tls: TlsClientOptions): Scenario {
  return {
    title: `${what} is TLS_CLIENT_CERTIFICATE_REQUIRED; a runtime that cannot check does not start: INVALID_CONFIG`,
    async server(half) {
      const arrivals = await openDemanding(half, demanding);
      if (arrivals === null) return;
      await half.waitFor("refused");
      assert.equal(arrivals.all.length, 0);
    },
    async client(half) {
      if (!(await half.waitFor<boolean>("clientCertificates"))) return;
      const client = await half.client({ tls });
      assert.equal((await failureOf(client.connect())).code, ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED);
      half.tell("refused");
    },
  };
}

/** TLS between two implementations: certificates, their faults, and TLS on only one side. */
export const tls: readonly Scenario[] = [
  {
    title: "messages, calls and broadcasts travel over TLS, and both ends say so",
    async server(half) {
      const server = half.server({ tls: serverTls });
      server.rpc("echo", (params) => params);
      const connection = await (await half.open(server)).next();
      const protocol = half.subject.capabilities.tlsProtocol ? "TLSv1.3" : null;
      assert.deepEqual(connection.tls, { protocol, peerVerified: false, peerName: null });
      await half.waitFor("ready");
      assert.equal(await connection.call("who"), "Ada");
      server.broadcast("news", 1);
      await half.waitFor("heard");
    },
    async client(half) {
      const client = await half.client({ tls: { ca } });
      client.rpc("who", () => "Ada");
      const news = new EventLog<unknown>();
      client.on("news", news.add);
      await client.connect();
      half.tell("ready");
      const bytes = new Uint8Array(2 * 1024 * 1024).fill(7);
      assert.deepEqual(await client.call("echo", { bytes }), { bytes });
      assert.equal(await news.next(), 1);
      half.tell("heard");
    },
  },
  {
    title: "a certificate is checked against serverName, or against the host if that is not given",
    async server(half) {
      await (await half.open(half.server({ tls: serverTls }))).count(2);
    },
    async client(half) {
      const named = await half.join({ host: "127.0.0.1", tls: { ca, serverName: "localhost" } });
      const hosted = await half.join({ host: "localhost", tls: { ca } });
      assert.deepEqual([named.isConnected, hosted.isConnected], [true, true]);
      const elsewhere = await half.client({ tls: { ca, serverName: "elsewhere.example" } });
      assert.equal((await failureOf(elsewhere.connect())).code, ErrorCode.TLS_WRONG_NAME);
    },
  },
  refusedScenario(
    "a certificate of an unknown CA is TLS_UNTRUSTED",
    { cert: testFile("other.crt"), key: testFile("other.key") },
    { ca },
    ErrorCode.TLS_UNTRUSTED,
  ),
  refusedScenario(
    "without a CA option the system's roots decide: a private CA is TLS_UNTRUSTED",
    serverTls,
    true,
    ErrorCode.TLS_UNTRUSTED,
  ),
  refusedScenario(
    "a certificate for another name is TLS_WRONG_NAME",
    { cert: testFile("wrong-name.crt"), key: testFile("wrong-name.key") },
    { ca },
    ErrorCode.TLS_WRONG_NAME,
  ),
  refusedScenario(
    "an expired certificate is TLS_EXPIRED",
    { cert: testFile("expired.crt"), key: testFile("expired.key") },
    { ca },
    ErrorCode.TLS_EXPIRED,
  ),
  demandScenario("a client without the demanded certificate", { ca }),
  demandScenario("a client certificate of another CA", {
    ca,
    cert: testFile("other.crt"),
    key: testFile("other.key"),
  }),
  {
    title: "a client with the demanded certificate is let in by name; a runtime that cannot check does not start",
    async server(half) {
      const arrivals = await openDemanding(half, demanding);
      if (arrivals === null) return;
      const { tls: facts } = await arrivals.next();
      assert.deepEqual([facts?.peerVerified, facts?.peerName], [true, "test client"]);
    },
    async client(half) {
      if (await half.waitFor<boolean>("clientCertificates")) await half.join({ tls: clientTls });
    },
  },
  {
    title:
      "a CA without a demand admits clients with and without a certificate; a runtime that cannot check does not start",
    async server(half) {
      const arrivals = await openDemanding(half, { ...serverTls, ca });
      if (arrivals === null) return;
      const facts = (await arrivals.count(2)).map((connection) => connection.tls);
      assert.deepEqual(
        facts.map((fact) => [fact?.peerVerified, fact?.peerName]),
        [
          [true, "test client"],
          [false, null],
        ],
      );
    },
    async client(half) {
      if (!(await half.waitFor<boolean>("clientCertificates"))) return;
      await half.join({ tls: clientTls });
      await half.join({ tls: { ca } });
    },
  },
  {
    title: "a plaintext client of a TLS server fails with a code; the server reports it and runs on",
    async server(half) {
      half.tell("alerts", half.subject.capabilities.tlsAlerts);
      const server = half.server({ tls: serverTls });
      const failures = new EventLog<string>();
      server.onError((_error, { stage }) => failures.add(stage));
      const arrivals = await half.open(server);
      assert.equal(await failures.next(), "accept");
      await arrivals.next();
    },
    async client(half) {
      const plain = await half.client();
      const { code, message } = await failureOf(plain.connect());
      const { CONNECTION_CLOSED, CONNECTION_RESET, TLS_NOT_TLS } = ErrorCode;
      const expected: readonly number[] = (await half.waitFor<boolean>("alerts"))
        ? [TLS_NOT_TLS]
        : [CONNECTION_CLOSED, CONNECTION_RESET];
      assert.ok(expected.includes(code), String(code));
      assert.match(message, /\bTLS\b.*option tls/);
      await half.join({ tls: { ca } });
    },
  },
  {
    title: "a TLS client of a plaintext server fails with TLS_NOT_TLS; the server runs on",
    async server(half) {
      await (await half.open(half.server())).next();
    },
    async client(half) {
      const client = await half.client({ tls: { ca } });
      const { code, message } = await failureOf(client.connect());
      assert.equal(code, ErrorCode.TLS_NOT_TLS);
      assert.match(message, /does it speak TLS/);
      await half.join();
    },
  },
  {
    title: "a wrong password is AUTH_FAILED over TLS too",
    async server(half) {
      await half.open(half.server({ tls: serverTls }));
    },
    async client(half) {
      const client = await half.client({ tls: { ca }, password: "guessed" });
      assert.equal((await failureOf(client.connect())).code, ErrorCode.AUTH_FAILED);
    },
  },
];
