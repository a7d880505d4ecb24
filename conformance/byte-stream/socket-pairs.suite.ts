import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testFile } from "../../packages/node/test-data/tls/files.ts";
import { BUFFER_SIZE, connectedPair } from "../adapter/endpoints.ts";
import type { AdapterSubject } from "../adapter/subject.ts";
import type { StreamPair } from "./subject.ts";
import { describeByteStream } from "./suite.ts";

/** A runtime's streams over every transport: TCP with IPv4 and IPv6, Unix sockets, TLS. */
export function describeSocketPairs(subject: AdapterSubject): void {
  const { name } = subject;
  const { tcpResets, tlsResets } = subject.capabilities;
  const capabilities = { highWaterMark: BUFFER_SIZE, kernelBytes: 32 * 1024 * 1024 };

  describeByteStream(`${name} TCP over IPv4`, {
    makePair: () => connectedPair(subject, { host: "127.0.0.1" }),
    capabilities: { ...capabilities, destroyResets: tcpResets },
  });

  describeByteStream(`${name} TCP over IPv6`, {
    makePair: () => connectedPair(subject, { host: "::1", ipv6: true }),
    capabilities: { ...capabilities, destroyResets: tcpResets, transferBytes: 1024 * 1024 },
  });

  describeByteStream(`${name} Unix socket`, {
    async makePair(): Promise<StreamPair> {
      const directory = await mkdtemp(join(tmpdir(), "netconduit-"));
      const pair = await connectedPair(subject, { path: join(directory, "stream.sock") });
      return {
        ...pair,
        async dispose() {
          await pair.dispose();
          await rm(directory, { recursive: true });
        },
      };
    },
    capabilities: { ...capabilities, destroyResets: false },
  });

  describeByteStream(`${name} TLS`, {
    makePair: () =>
      connectedPair(subject, {
        host: "127.0.0.1",
        serverTls: { cert: testFile("server.crt"), key: testFile("server.key") },
        clientTls: { ca: testFile("ca.crt") },
      }),
    capabilities: { ...capabilities, destroyResets: tlsResets },
  });
}
