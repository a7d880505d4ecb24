import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ErrorCode } from "@netconduit/core";
import { failureOf } from "../../support/failures.ts";
import type { Scenario } from "../scenario.ts";

/** All kinds of addresses. */
export const transports: readonly Scenario[] = [
  {
    title: "a server on ::1 takes IPv6 clients, and their address says so",
    async server(half) {
      const server = half.server({ host: "::1" });
      server.rpc("echo", (params) => params);
      const { remote, remoteAddress } = await (await half.open(server)).next();
      assert.match(remoteAddress, /^\[::1\]:\d+$/);
      assert.equal(remote.kind === "tcp" && remote.family, "IPv6");
    },
    async client(half) {
      const client = await half.join({ host: "::1" });
      assert.deepEqual(await client.call("echo", { n: 1 }), { n: 1 });
    },
  },
  {
    title: "a server on :: takes IPv4 and IPv6 clients; a client that wants IPv6 alone cannot reach one on 127.0.0.1",
    async server(half) {
      const arrivals = await half.open(half.server({ host: "::", ipv6: true }));
      const families = (await arrivals.count(2)).map(({ remote }) => remote.kind === "tcp" && remote.family);
      assert.deepEqual(families, ["IPv4", "IPv6"]);
      await half.open(half.server());
    },
    async client(half) {
      await half.join({ host: "127.0.0.1" });
      await half.join({ host: "::1" });
      await half.nextServer();
      const only6 = await half.client({ host: "::1", ipv6: true });
      assert.equal((await failureOf(only6.connect())).code, ErrorCode.CONNECTION_REFUSED);
    },
  },
  {
    title: "calls travel over a Unix socket, and its file is gone after stop()",
    async server(half) {
      const folder = await mkdtemp(join(tmpdir(), "netconduit-"));
      half.defer(() => rm(folder, { recursive: true }));
      const path = join(folder, "server.sock");
      const server = half.server({ path });
      server.rpc("echo", (params) => params);
      const connection = await (await half.open(server)).next();
      assert.match(connection.remoteAddress, /^unix:/);
      await half.waitFor("done");
      await server.stop();
      assert.equal(existsSync(path), false);
      half.tell("stopped");
    },
    async client(half) {
      const client = await half.join();
      const bytes = new Uint8Array(1024 * 1024).fill(3);
      assert.deepEqual(await client.call("echo", { bytes }), { bytes });
      half.tell("done");
      await half.waitFor("stopped");
      const late = await half.client();
      assert.equal((await failureOf(late.connect())).code, ErrorCode.CONNECTION_REFUSED);
    },
  },
  {
    title: "an address that another process's server listens on is ADDRESS_IN_USE, over TCP and Unix sockets",
    async server(half) {
      const folder = await mkdtemp(join(tmpdir(), "netconduit-"));
      half.defer(() => rm(folder, { recursive: true }));
      const tcp = half.server();
      const unix = half.server({ path: join(folder, "server.sock") });
      unix.rpc("ping", () => "pong");
      await tcp.start();
      await unix.start();
      half.tell("port", tcp.address.port);
      half.tell("address", { host: "", port: 0, path: unix.address.path });
    },
    async client(half) {
      const { Server } = half.subject;
      const port = await half.waitFor<number>("port");
      const { path } = await half.serverAddress();
      assert.ok(path !== null);
      for (const where of [{ host: "127.0.0.1", port }, { path }]) {
        const second = new Server({ password: "secret", ...where });
        assert.equal((await failureOf(second.start())).code, ErrorCode.ADDRESS_IN_USE);
        assert.equal(second.state, "stopped");
      }
      assert.equal(await (await half.join()).call("ping"), "pong");
    },
  },
];
