import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeByteStream, type StreamPair } from "../../../conformance/byte-stream/suite.ts";
import { testFile } from "../../node/test-data/tls/files.ts";
import { connectedPair } from "./test-support.ts";

const capabilities = { highWaterMark: 65_536, kernelBytes: 32 * 1024 * 1024, destroyResets: true };

describeByteStream("Bun TCP over IPv4", {
  makePair: () => connectedPair({ host: "127.0.0.1" }),
  capabilities,
});

describeByteStream("Bun TCP over IPv6", {
  makePair: () => connectedPair({ host: "::1", ipv6: true }),
  capabilities: { ...capabilities, transferBytes: 1024 * 1024 },
});

describeByteStream("Bun Unix socket", {
  async makePair(): Promise<StreamPair> {
    const directory = await mkdtemp(join(tmpdir(), "netconduit-"));
    const pair = await connectedPair({ path: join(directory, "stream.sock") });
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

describeByteStream("Bun TLS", {
  makePair: () =>
    connectedPair({
      host: "127.0.0.1",
      serverTls: { cert: testFile("server.crt"), key: testFile("server.key") },
      clientTls: { ca: testFile("ca.crt") },
    }),
  capabilities,
});
