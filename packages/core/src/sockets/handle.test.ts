import { describe, expect, test } from "vitest";
import { fakeBinding, fakeHandle } from "../test-support/fake-handle.ts";
import { endNames, handleBinding, handleOf, isUsableHandle } from "./handle.ts";
import type { StreamFacts } from "./stream-facts.ts";

describe("handleBinding", () => {
  test("is what the process gives away of its streams", () => {
    const asked: string[] = [];
    const binding = (name: string): object => {
      asked.push(name);
      return fakeBinding;
    };
    expect([handleBinding({ binding }), asked]).toEqual([fakeBinding, ["stream_wrap"]]);
  });

  test("is taken without a word about its deprecation, which is said of others as before", () => {
    const silenced: unknown[] = [];
    for (const noDeprecation of [undefined, false, true]) {
      const process = {
        noDeprecation: noDeprecation as boolean | undefined,
        binding(): object {
          silenced.push(this.noDeprecation);
          return fakeBinding;
        },
      };
      handleBinding(process);
      silenced.push(process.noDeprecation);
    }
    expect(silenced).toEqual([true, undefined, true, false, true, true]);
  });

  test("is taken where nothing is said of deprecation, and that cannot be changed: --no-deprecation", () => {
    const process = Object.defineProperty({ binding: () => fakeBinding }, "noDeprecation", { value: true });
    expect(handleBinding(process)).toBe(fakeBinding);
  });

  test("is null where deprecation is said, and that cannot be changed", () => {
    const process = Object.defineProperty({ binding: () => fakeBinding }, "noDeprecation", { value: false });
    expect(handleBinding(process)).toBe(null);
  });

  test("is null where the process has none, or keeps it to itself", () => {
    const binding = (): never => {
      throw new Error("Access to this API has been restricted");
    };
    expect([handleBinding({}), handleBinding({ binding })]).toEqual([null, null]);
  });

  test.each(Object.keys(fakeBinding))("is null without %s", (name) => {
    expect(handleBinding({ binding: () => ({ ...fakeBinding, [name]: undefined }) })).toBe(null);
  });
});

describe("isUsableHandle", () => {
  test("is so of a handle", () => {
    expect(isUsableHandle(fakeHandle())).toBe(true);
  });

  test.each(["useUserBuffer", "readStart", "readStop", "writeBuffer", "shutdown", "close"])(
    "is not so without %s",
    (name) => {
      expect(isUsableHandle({ ...fakeHandle(), [name]: undefined })).toBe(false);
    },
  );
});

describe("handleOf", () => {
  const address = { kind: "tcp", host: "127.0.0.1", port: 1, family: "IPv4" } as const;
  const ends = { local: address, remote: address };
  const client: StreamFacts = { ...ends, tls: null, role: "client", highWaterMark: 1, silentEnd: null };
  const server: StreamFacts = { ...client, role: "server" };
  const secure: StreamFacts = { ...client, tls: { protocol: null, peerVerified: true, peerName: null } };

  test("is a handle itself", () => {
    const handle = fakeHandle();
    expect([handleOf(handle, server, true), handleOf(handle, server, false)]).toEqual([handle, handle]);
  });

  test("takes the handle of a client's socket", () => {
    const handle = fakeHandle();
    const socket = { _handle: handle };
    expect([handleOf(socket, client, true), socket._handle]).toEqual([handle, null]);
  });

  test.each([
    ["that a server has accepted", server, true, { _handle: fakeHandle() }],
    ["with TLS", secure, true, { _handle: fakeHandle() }],
    ["that must stay as it is", client, false, { _handle: fakeHandle() }],
    ["without one", client, true, { _handle: null }],
    ["with one that is no handle", client, true, { _handle: {} }],
    ["that keeps it elsewhere", client, true, {}],
  ])("leaves a socket %s as it is", (_what, facts, mayTake, socket) => {
    const before = { ...socket };
    expect([handleOf(socket, facts, mayTake), socket]).toEqual([null, before]);
  });
});

describe("endNames", () => {
  /** A handle that knows both ends; a status other than 0: it does not. */
  function knowing(status = 0) {
    const end = (host: string, port: number) => (into: object) => {
      Object.assign(into, { address: host, family: "IPv4", port });
      return status;
    };
    return { ...fakeHandle(), getpeername: end("192.0.2.1", 7), getsockname: end("192.0.2.2", 8) };
  }

  test("asks the handle, for an end that is known not", () => {
    expect({ ...endNames(knowing(), false, false) }).toEqual({
      remoteAddress: "192.0.2.1",
      remotePort: 7,
      localAddress: "192.0.2.2",
      localPort: 8,
    });
    const asked: string[] = [];
    const never = (name: string) => () => asked.push(name);
    const handle = { ...knowing(), getpeername: never("far"), getsockname: never("near") };
    expect({ ...endNames(handle, true, true) }).toEqual({});
    expect(asked).toEqual([]);
  });

  test("knows no end of a connection whose peer is gone", () => {
    const names = endNames(knowing(-107), false, false);
    expect([names.remoteAddress, names.localAddress]).toEqual([undefined, undefined]);
  });

  test("is a socket itself, which knows them", () => {
    const socket = { remoteAddress: "192.0.2.1" };
    expect(endNames(socket, false, false)).toBe(socket);
  });
});
