/**
 * Servers and clients over every transport: TLS with all its failures, IPv6, dual stack, Unix sockets, and errors
 * when connecting.
 */
import { existsSync } from "node:fs";
import { link, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server as NetServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Client,
  type ClientOptions,
  type ConduitError,
  ErrorCode,
  type ErrorContext,
  type Identity,
  type Server,
  type ServerInit,
  type TlsInfo,
} from "@netconduit/core";
import { afterEach, describe, expect, test } from "vitest";
import { testFile } from "../../packages/node/test-data/tls/files.ts";
import { failureOf } from "../support/failures.ts";

/** The subject of the suite. */
export interface TransportSubject {
  readonly name: string;
  server(options: ServerInit): Server;
  client(options: ClientOptions): Client;
  readonly capabilities: TransportCapabilities;
}

/** Permitted differences between runtimes. */
export interface TransportCapabilities {
  /** `tls.protocol` is known; otherwise it is null. */
  readonly tlsProtocol: boolean;
  /** A TLS server can request client certificates; otherwise starting with that option fails. */
  readonly clientCertificates: boolean;
  /** `setTls` replaces a listening server's certificate; otherwise it is INVALID_CONFIG. */
  readonly setTls: boolean;
}

const ca = testFile("ca.crt");
const serverTls = { cert: testFile("server.crt"), key: testFile("server.key") };
const clientTls = { ca, cert: testFile("client.crt"), key: testFile("client.key") };

export function describeTransports(subject: TransportSubject): void {
  const { capabilities } = subject;
  const cleanups: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function serve(options: Partial<ServerInit> = {}): Promise<Server> {
    const server = subject.server({ password: "secret", host: "127.0.0.1", port: 0, ...options });
    server.rpc("echo", (params) => params);
    cleanups.push(() => server.stop({ drainMs: 0 }));
    await server.start();
    return server;
  }

  function dialler(options: Partial<ClientOptions>): Client {
    const client = subject.client({ password: "secret", host: "127.0.0.1", ...options } as ClientOptions);
    cleanups.push(() => client.disconnect());
    return client;
  }

  async function listening(server: NetServer): Promise<number> {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => new Promise((resolve) => server.close(resolve)));
    const address = server.address();
    return address !== null && typeof address === "object" ? address.port : 0;
  }

  /** Resolves with the error that the server reports for a connection that never became ready. */
  function acceptFailure(server: Server): Promise<ConduitError> {
    return new Promise((resolve) => {
      server.onError((error: Error, context: ErrorContext<unknown>) => {
        if (context.stage === "accept") resolve(error as ConduitError);
      });
    });
  }

  describe(`${subject.name}: TLS`, () => {
    test("calls travel over TLS, and both ends know it", async () => {
      const server = await serve({ tls: serverTls });
      const client = dialler({ port: server.address.port, tls: { ca, serverName: "localhost" } });
      await client.connect();
      expect(await client.call("echo", { text: "hello" })).toEqual({ text: "hello" });
      expect(server.connections[0]?.tls?.protocol).toBe(capabilities.tlsProtocol ? "TLSv1.3" : null);
    });

    test("a server certificate of an unknown CA is refused with TLS_UNTRUSTED", async () => {
      const server = await serve({ tls: { cert: testFile("other.crt"), key: testFile("other.key") } });
      const client = dialler({ port: server.address.port, tls: { ca } });
      expect((await failureOf(client.connect())).code).toBe(ErrorCode.TLS_UNTRUSTED);
    });

    test("the server's own certificate as tls.ca isn't enough if a CA signed it, and the error says so", async () => {
      const server = await serve({ tls: serverTls });
      const client = dialler({ port: server.address.port, tls: { ca: serverTls.cert, serverName: "localhost" } });
      const { code, message } = await failureOf(client.connect());
      expect([code, message]).toEqual([
        ErrorCode.TLS_UNTRUSTED,
        expect.stringContaining("none of the CAs given as tls.ca"),
      ]);
    });

    test("without a CA option the system's roots decide, and a private CA is refused with TLS_UNTRUSTED", async () => {
      const server = await serve({ tls: serverTls });
      const client = dialler({ port: server.address.port, tls: true });
      expect((await failureOf(client.connect())).code).toBe(ErrorCode.TLS_UNTRUSTED);
    });

    test("a certificate for another name is refused with TLS_WRONG_NAME", async () => {
      const server = await serve({ tls: { cert: testFile("wrong-name.crt"), key: testFile("wrong-name.key") } });
      const client = dialler({ port: server.address.port, tls: { ca } });
      expect((await failureOf(client.connect())).code).toBe(ErrorCode.TLS_WRONG_NAME);
    });

    test("an expired certificate is refused with TLS_EXPIRED", async () => {
      const server = await serve({ tls: { cert: testFile("expired.crt"), key: testFile("expired.key") } });
      const client = dialler({ port: server.address.port, tls: { ca } });
      expect((await failureOf(client.connect())).code).toBe(ErrorCode.TLS_EXPIRED);
    });

    test.skipIf(!capabilities.clientCertificates)(
      "a client without the demanded certificate is refused with TLS_CLIENT_CERTIFICATE_REQUIRED, on both ends",
      async () => {
        const server = await serve({ tls: { ...serverTls, ca, requireClientCertificate: true } });
        const reported = acceptFailure(server);
        const client = dialler({ port: server.address.port, tls: { ca } });
        expect((await failureOf(client.connect())).code).toBe(ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED);
        expect((await reported).code).toBe(ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED);
        expect(server.connectionCount).toBe(0);
      },
    );

    test.skipIf(!capabilities.clientCertificates)(
      "a client logs in by its certificate alone, if the server knows whom it stands for",
      async () => {
        const asked: (string | null)[] = [];
        const certificate = ({ peerName }: TlsInfo): Identity | null => {
          asked.push(peerName);
          return peerName === null || asked.length > 1 ? null : { name: peerName, roles: ["device"] };
        };
        const server = await serve({ password: undefined, tls: { ...serverTls, ca }, authenticate: { certificate } });
        const options = { port: server.address.port, password: undefined, credentials: { certificate: true } } as const;
        const client = dialler({ ...options, tls: clientTls });
        await client.connect();
        expect(server.connections[0]?.user).toMatchObject({ method: "certificate", roles: ["device"] });
        const again = dialler({ ...options, tls: clientTls });
        expect((await failureOf(again.connect())).code).toBe(ErrorCode.AUTH_FAILED);
        const bare = dialler({ ...options, credentials: () => ({ certificate: true }), tls: { ca } });
        expect((await failureOf(bare.connect())).code).toBe(ErrorCode.LOGIN_METHOD_REFUSED);
        expect(asked.length).toBe(2);
      },
    );

    test.skipIf(!capabilities.clientCertificates)(
      "a client certificate of another CA is refused with TLS_CLIENT_CERTIFICATE_REQUIRED",
      async () => {
        const server = await serve({ tls: { ...serverTls, ca, requireClientCertificate: true } });
        const tls = { ca, cert: testFile("other.crt"), key: testFile("other.key") };
        const client = dialler({ port: server.address.port, tls });
        expect((await failureOf(client.connect())).code).toBe(ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED);
      },
    );

    test.skipIf(!capabilities.clientCertificates)(
      "a client with the demanded certificate is let in, and the server sees whose it is",
      async () => {
        const server = await serve({ tls: { ...serverTls, ca, requireClientCertificate: true } });
        const client = dialler({ port: server.address.port, tls: clientTls });
        await client.connect();
        expect(server.connections[0]?.tls).toMatchObject({ peerVerified: true, peerName: expect.any(String) });
      },
    );

    test.skipIf(capabilities.clientCertificates)(
      "a server that cannot check client certificates does not start when told to, with INVALID_CONFIG",
      async () => {
        for (const [option, tls] of [
          ["tls.requireClientCertificate", { ...serverTls, ca, requireClientCertificate: true }],
          ["tls.ca", { ...serverTls, ca }],
        ] as const) {
          const error = await failureOf(serve({ tls }));
          expect(error.code).toBe(ErrorCode.INVALID_CONFIG);
          expect(error.message).toContain(option);
        }
      },
    );

    const other = { cert: testFile("other.crt"), key: testFile("other.key") };
    const trustsOther = { ca: testFile("other-ca.crt"), serverName: "localhost" };

    test.skipIf(!capabilities.setTls)(
      "setTls replaces the certificate for new connections, and keeps those that are open",
      async () => {
        const server = await serve({ tls: serverTls });
        const { port } = server.address;
        const before = dialler({ port, tls: { ca } });
        await before.connect();
        await server.setTls(other);
        expect((await failureOf(dialler({ port, tls: { ca } }).connect())).code).toBe(ErrorCode.TLS_UNTRUSTED);
        const after = dialler({ port, tls: trustsOther });
        await after.connect();
        expect([await before.call("echo", { n: 1 }), await after.call("echo", { n: 2 })]).toEqual([{ n: 1 }, { n: 2 }]);
        await server.stop();
        await server.start();
        const again = dialler({ port: server.address.port, tls: trustsOther });
        await again.connect();
      },
    );

    test.skipIf(!capabilities.setTls)("setTls asks for client certificates from then on, if told to", async () => {
      const server = await serve({ tls: serverTls });
      const { port } = server.address;
      await server.setTls({ ...serverTls, ca, requireClientCertificate: true });
      const code = ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED;
      expect((await failureOf(dialler({ port, tls: { ca } }).connect())).code).toBe(code);
      await dialler({ port, tls: clientTls }).connect();
    });

    test.skipIf(!capabilities.setTls)("unusable material leaves the former certificate in use", async () => {
      const server = await serve({ tls: serverTls });
      const unusable = [
        { cert: testFile("server.crt"), key: testFile("other.key") },
        { cert: join(tmpdir(), "no-such-file.pem"), key: testFile("server.key") },
        { cert: "" } as never,
        undefined as never,
      ];
      for (const tls of unusable) {
        expect((await failureOf(server.setTls(tls))).code).toBe(ErrorCode.INVALID_CONFIG);
      }
      await dialler({ port: server.address.port, tls: { ca } }).connect();
    });

    test.skipIf(capabilities.setTls)(
      "setTls is refused with INVALID_CONFIG; a restart has the same effect",
      async () => {
        const server = await serve({ tls: serverTls });
        const error = await failureOf(server.setTls(other));
        expect([error.code, error.message]).toEqual([ErrorCode.INVALID_CONFIG, expect.stringContaining("stop()")]);
        await dialler({ port: server.address.port, tls: { ca } }).connect();
        await server.stop({ drainMs: 0 });
        await server.setTls(other);
        await server.start();
        await dialler({ port: server.address.port, tls: trustsOther }).connect();
      },
    );

    test("setTls of a server without TLS is INVALID_STATE", async () => {
      const server = await serve();
      expect((await failureOf(server.setTls(serverTls))).code).toBe(ErrorCode.INVALID_STATE);
    });

    test("a plaintext client of a TLS server fails with a code, and the server lives", async () => {
      const server = await serve({ tls: serverTls });
      const plain = dialler({ port: server.address.port, reconnect: { enabled: false } });
      const { code, message } = await failureOf(plain.connect());
      // The server sends an alert or disconnects without one.
      expect([ErrorCode.TLS_NOT_TLS, ErrorCode.CONNECTION_CLOSED, ErrorCode.CONNECTION_RESET]).toContain(code);
      expect(message).toMatch(/\bTLS\b.*option tls/);
      const client = dialler({ port: server.address.port, tls: { ca } });
      await client.connect();
      expect(await client.call("echo", { n: 1 })).toEqual({ n: 1 });
    });

    test("a TLS client of a plaintext server fails with TLS_NOT_TLS, the server says why, and lives", async () => {
      const server = await serve();
      const reported = new Promise<Error>((resolve) => server.onError(resolve));
      const client = dialler({ port: server.address.port, tls: { ca } });
      const { code, message } = await failureOf(client.connect());
      expect(code).toBe(ErrorCode.TLS_NOT_TLS);
      expect(message).toContain("does it speak TLS");
      expect((await reported).message).toContain("the client uses TLS and this server does not");
      const plain = dialler({ port: server.address.port });
      await plain.connect();
      expect(await plain.call("echo", { n: 1 })).toEqual({ n: 1 });
    });

    test("a wrong password is AUTH_FAILED over TLS too", async () => {
      const server = await serve({ tls: serverTls });
      const client = dialler({ port: server.address.port, tls: { ca }, password: "wrong" });
      expect((await failureOf(client.connect())).code).toBe(ErrorCode.AUTH_FAILED);
    });

    test("TLS material that cannot be read is INVALID_CONFIG, naming the option", async () => {
      const server = subject.server({
        password: "secret",
        host: "127.0.0.1",
        port: 0,
        tls: { cert: join(tmpdir(), "no-such-file.pem"), key: testFile("server.key") },
      });
      const error = await failureOf(server.start());
      expect(error.code).toBe(ErrorCode.INVALID_CONFIG);
      expect(error.message).toContain("tls.cert");
    });
  });

  describe(`${subject.name}: addresses`, () => {
    test("a server on ::1 takes IPv6 clients, and their address says so", async () => {
      const server = await serve({ host: "::1", ipv6: true });
      const client = dialler({ host: "::1", port: server.address.port });
      await client.connect();
      expect(server.connections[0]?.remoteAddress).toMatch(/^\[::1\]:\d+$/);
      expect(server.connections[0]?.remote).toMatchObject({ kind: "tcp", family: "IPv6" });
    });

    test("a server on :: takes IPv4 and IPv6 clients", async () => {
      const server = await serve({ host: "::", ipv6: true });
      const port = server.address.port;
      const four = dialler({ host: "127.0.0.1", port });
      const six = dialler({ host: "::1", port });
      await Promise.all([four.connect(), six.connect()]);
      expect(
        server.connections.map((connection) => connection.remote.kind === "tcp" && connection.remote.family).sort(),
      ).toEqual(["IPv4", "IPv6"]);
    });

    test("calls travel over a Unix socket, whose file is gone after stop()", async () => {
      const directory = await mkdtemp(join(tmpdir(), "netconduit-"));
      cleanups.push(() => rm(directory, { recursive: true }));
      const path = join(directory, "server.sock");
      const server = subject.server({ password: "secret", path });
      server.rpc("echo", (params) => params);
      cleanups.push(() => server.stop({ drainMs: 0 }));
      await server.start();
      expect(server.address).toEqual({ host: "", port: 0, path });
      const client = subject.client({ password: "secret", path });
      cleanups.push(() => client.disconnect());
      await client.connect();
      expect(await client.call("echo", { n: 1 })).toEqual({ n: 1 });
      expect(server.connections[0]?.remoteAddress).toMatch(/^unix:/);
      await client.disconnect();
      await server.stop();
      expect(existsSync(path)).toBe(false);
    });
  });

  describe(`${subject.name}: the file of a Unix socket`, () => {
    async function folder(): Promise<string> {
      const directory = await mkdtemp(join(tmpdir(), "netconduit-"));
      cleanups.push(() => rm(directory, { recursive: true }));
      return directory;
    }

    function unixServer(path: string): Server {
      const server = subject.server({ password: "secret", path });
      cleanups.push(() => server.stop({ drainMs: 0 }));
      return server;
    }

    /** Creates a socket file without a listener. */
    async function staleSocket(directory: string): Promise<string> {
      const path = join(directory, "stale.sock");
      const server = unixServer(join(directory, "first.sock"));
      await server.start();
      await link(join(directory, "first.sock"), path);
      await server.stop();
      return path;
    }

    test("of several servers that find a stale one and start together, one starts", async () => {
      const directory = await folder();
      const path = await staleSocket(directory);
      const servers = Array.from({ length: 5 }, () => unixServer(path));
      const results = await Promise.allSettled(servers.map((server) => server.start()));
      const codes = results.map((result) => (result.status === "fulfilled" ? 0 : (result.reason as ConduitError).code));
      expect(codes.sort()).toEqual([0, ...new Array(4).fill(ErrorCode.ADDRESS_IN_USE)]);
      const client = subject.client({ password: "secret", path });
      cleanups.push(() => client.disconnect());
      await client.connect();
      expect(await readdir(directory)).toEqual(["stale.sock"]);
    });

    test("stays if it is not the server's own any more", async () => {
      const directory = await folder();
      const path = join(directory, "server.sock");
      const first = unixServer(path);
      await first.start();
      await rm(path);
      const second = unixServer(path);
      await second.start();
      await first.stop();
      const client = subject.client({ password: "secret", path });
      cleanups.push(() => client.disconnect());
      await client.connect();
      await client.disconnect();
      await rm(path);
      await writeFile(path, "not a socket");
      await second.stop();
      expect([await readFile(path, "utf8"), await readdir(directory)]).toEqual(["not a socket", ["server.sock"]]);
    });

    test("is not taken from a server that listens, or from a plain file: ADDRESS_IN_USE", async () => {
      const directory = await folder();
      const path = join(directory, "server.sock");
      await unixServer(path).start();
      expect((await failureOf(unixServer(path).start())).code).toBe(ErrorCode.ADDRESS_IN_USE);
      const plain = join(directory, "plain");
      await writeFile(plain, "not a socket");
      expect((await failureOf(unixServer(plain).start())).code).toBe(ErrorCode.ADDRESS_IN_USE);
    });

    test("has no NUL in its name: INVALID_CONFIG", async () => {
      const path = join(await folder(), "a\0b");
      expect((await failureOf(unixServer(path).start())).code).toBe(ErrorCode.INVALID_CONFIG);
      const client = subject.client({ password: "secret", path });
      expect((await failureOf(client.connect())).code).toBe(ErrorCode.INVALID_CONFIG);
    });

    test.skipIf(process.platform !== "linux")("is not made for an abstract socket of Linux", async () => {
      const path = `\0netconduit-${subject.name}-${process.pid}`;
      const server = unixServer(path);
      await server.start();
      const client = subject.client({ password: "secret", path });
      cleanups.push(() => client.disconnect());
      await client.connect();
      expect((await failureOf(unixServer(path).start())).code).toBe(ErrorCode.ADDRESS_IN_USE);
    });
  });

  describe(`${subject.name}: connect() says what failed`, () => {
    test("nothing listens: CONNECTION_REFUSED", async () => {
      const server = await serve();
      const { port } = server.address;
      await server.stop();
      const error = await failureOf(dialler({ port }).connect());
      expect(error.code).toBe(ErrorCode.CONNECTION_REFUSED);
      expect(error.message).toContain(`127.0.0.1:${port}`);
    });

    test("a server that says nothing: CONNECT_TIMEOUT", async () => {
      const port = await listening(createServer((socket) => socket.on("error", () => {}).resume()));
      const client = dialler({ port, connectTimeoutMs: 200 });
      expect((await failureOf(client.connect())).code).toBe(ErrorCode.CONNECT_TIMEOUT);
    });

    test("a server of another protocol: NOT_NETCONDUIT", async () => {
      const port = await listening(
        createServer((socket) =>
          socket
            .on("error", () => {})
            .resume()
            .end("HTTP/1.1 400 Bad Request\r\n\r\n"),
        ),
      );
      const error = await failureOf(dialler({ port }).connect());
      expect(error.code).toBe(ErrorCode.NOT_NETCONDUIT);
      expect(error.message).toContain("HTTP");
    });

    test("a server that hangs up: CONNECTION_CLOSED, with what to look at", async () => {
      const port = await listening(
        createServer((socket) =>
          socket
            .on("error", () => {})
            .resume()
            .end(),
        ),
      );
      const error = await failureOf(dialler({ port }).connect());
      expect(error.code).toBe(ErrorCode.CONNECTION_CLOSED);
      expect(error.message).toContain("TLS");
    });

    test("a Unix socket that is not there: CONNECTION_REFUSED, with its path", async () => {
      const path = join(tmpdir(), `netconduit-none-${process.pid}.sock`);
      const client = subject.client({ password: "secret", path });
      const error = await failureOf(client.connect());
      expect(error.code).toBe(ErrorCode.CONNECTION_REFUSED);
      expect(error.message).toContain(path);
    });
  });
}
