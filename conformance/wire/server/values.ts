import assert from "node:assert/strict";
import { decode } from "@msgpack/msgpack";
import { rawFrame, Type } from "../../../packages/core/src/testing/raw-frames.ts";
import { hasEachKeyOnce } from "../both/keys.ts";
import { answerTo, type Check, isAlive } from "../check.ts";
import type { ServerUnderTest } from "../server-under-test.ts";

const text = (value: string): number[] => {
  const bytes = [...new TextEncoder().encode(value)];
  return bytes.length < 32 ? [0xa0 + bytes.length, ...bytes] : [0xd9, bytes.length, ...bytes];
};

/** Payload of a call of `echo` with these bytes as its parameters. */
function echoOf(params: readonly number[]): Uint8Array {
  return Uint8Array.from([0x82, ...text("method"), ...text("echo"), ...text("params"), ...params]);
}

/** Parameters with these bytes as the value of `v`. */
const holding = (...value: readonly number[]): number[] => [0x81, ...text("v"), ...value];

/** Calls `echo` with these parameters and returns the results; 64-bit integers are bigints. */
async function echoes(server: ServerUnderTest, ...params: readonly number[][]): Promise<Record<string, unknown>[]> {
  const peer = await server.loginFor("echo");
  const echoed: Record<string, unknown>[] = [];
  for (const [index, bytes] of params.entries()) {
    const id = BigInt(index + 1);
    peer.write(rawFrame(Type.RPC_REQUEST, echoOf(bytes), { id }));
    const answer = await answerTo(peer, id);
    assert.equal(answer.type, Type.RPC_RESPONSE, `'echo' failed: ${JSON.stringify(answer.payload)}`);
    const { result } = decode(answer.payloadBytes, { useBigInt64: true }) as { result: Record<string, unknown> };
    echoed.push(result);
  }
  return echoed;
}

function integersOf(values: readonly Record<string, unknown>[]): bigint[] {
  return values.map(({ v }) => {
    assert.ok(typeof v === "bigint" || Number.isSafeInteger(v), `${String(v)} isn't an integer`);
    return BigInt(v as bigint | number);
  });
}

const ones = (count: number): number[] => new Array<number>(count).fill(0xff);
const zeros = (count: number): number[] => new Array<number>(count).fill(0);

export const valueChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: "Values",
    sentence:
      "Integers from -2⁶³ to 2⁶⁴ - 1 arrive exactly, in whichever of MessagePack's integer formats they come; others have no form.",
    async run(server) {
      const values = await echoes(
        server,
        holding(5),
        holding(0xcc, 5),
        holding(0xd3, ...zeros(7), 5),
        holding(0xcf, ...zeros(7), 5),
        holding(0xce, ...ones(4)),
        holding(0xcf, 0, 0x20, ...zeros(5), 1),
        holding(0xcf, ...ones(8)),
        holding(0xd3, 0x80, ...zeros(7)),
        holding(0xd3, ...ones(8)),
      );
      const largest = [2n ** 32n - 1n, 2n ** 53n + 1n, 2n ** 64n - 1n, -(2n ** 63n), -1n];
      assert.deepEqual(integersOf(values), [5n, 5n, 5n, 5n, ...largest]);
    },
  },
  {
    section: "Values",
    sentence: "Floats of 32 and 64 bits arrive exactly, NaN and the infinities included.",
    async run(server) {
      const values = await echoes(
        server,
        holding(0xca, 0x3f, 0xc0, 0, 0),
        holding(0xcb, 0x3f, 0xb9, ...new Array<number>(5).fill(0x99), 0x9a),
        holding(0xcb, 0, ...zeros(6), 1),
        holding(0xcb, 0x7f, 0xef, ...ones(6)),
        holding(0xcb, 0x7f, 0xf0, ...zeros(6)),
        holding(0xca, 0xff, 0x80, 0, 0),
        holding(0xca, 0x7f, 0xc0, 0, 0),
      );
      const expected = [1.5, 0.1, Number.MIN_VALUE, Number.MAX_VALUE, Infinity, -Infinity, Number.NaN];
      assert.deepEqual(
        values.map(({ v }) => v),
        expected,
      );
    },
  },
  {
    section: "Values",
    sentence: "Negative zero is a float: it is sent as one, and arrives as negative zero.",
    async run(server) {
      const negative = [holding(0xca, 0x80, 0, 0, 0), holding(0xcb, 0x80, ...zeros(7))];
      const values = await echoes(server, ...negative, holding(0x92, 0, 0xca, 0x80, 0, 0, 0), holding(0));
      assert.deepEqual(
        values.map(({ v }) => v),
        [-0, -0, [0, -0], 0],
      );
    },
  },
  {
    section: "Values",
    sentence: "`2` and `2.0` are the same value, so that a peer must not rely on the difference.",
    async run(server) {
      const twos = [
        holding(2),
        holding(0xca, 0x40, 0, 0, 0),
        holding(0xcb, 0x40, ...zeros(7)),
        holding(0xd3, ...zeros(7), 2),
      ];
      const values = await echoes(server, ...twos);
      assert.deepEqual(
        values.map(({ v }) => Number(v)),
        [2, 2, 2, 2],
      );
    },
  },
  {
    section: "Values",
    sentence: "Only where this page says that a key is optional, nil counts as absent.",
    async run(server) {
      const peer = await server.loginFor("echo");
      const nils = { timeout_ms: null, more: null };
      peer.send(Type.RPC_REQUEST, { method: "echo", params: { v: 1 }, ...nils }, { id: 1n });
      assert.deepEqual((await answerTo(peer, 1n)).payload?.["result"], { v: 1 });
      peer.send(Type.RPC_REQUEST, { method: null, params: {} }, { id: 2n });
      assert.equal((await answerTo(peer, 2n)).payload?.["success"], false);
      peer.send(Type.CLOSE, { reason: null, code: null, reconnect: null }, { id: 3n });
      assert.equal((await answerTo(peer, 3n)).type, Type.CLOSE_ACK);
    },
  },
  {
    section: "Values",
    sentence: "Where an integer is optional, any other value counts as absent, unless its section says otherwise.",
    async run(server) {
      for (const code of ["5010", 1.5, true, [5010], {}]) {
        const peer = await server.login();
        peer.send(Type.CLOSE, { reason: "done", code, taken: code }, { id: 3n });
        assert.equal((await answerTo(peer, 3n)).type, Type.CLOSE_ACK);
        assert.equal(await peer.over, "end");
      }
    },
  },
  {
    section: "Values",
    sentence: "Numbers of this protocol are integers, never text, except for the iterations of SCRAM.",
    async run(server) {
      const credit = { frames: 1000, bytes: 1_000_000 };
      await server.needsExtension("credit", credit);
      for (const given of [
        { ...credit, frames: "1000" },
        { ...credit, bytes: "1000000" },
        { ...credit, frames: 1.5 },
      ]) {
        const [, accepted] = await server.loginAs({ credit: given }, "credit");
        assert.equal(accepted, undefined, `Credit of ${JSON.stringify(given)} was taken`);
      }
    },
  },
  {
    section: "Values",
    sentence: "A key with nil arrives with nil, and an absent key stays absent.",
    async run(server) {
      const values = await echoes(server, holding(0xc0), [0x80], holding(0x81, ...text("a"), 0xc0), holding(0x80));
      assert.deepEqual(values, [{ v: null }, {}, { v: { a: null } }, { v: {} }]);
    },
  },
  {
    section: "Values",
    sentence: "If a map has a key twice, the last one counts, in data and in this protocol's own maps.",
    async run(server) {
      const twice = [0x82, ...text("v"), 1, ...text("v"), 2];
      assert.deepEqual(await echoes(server, twice, holding(...twice)), [{ v: 2 }, { v: { v: 2 } }]);
      const peer = await server.loginFor("echo");
      const method = [...text("method"), ...text("no such method"), ...text("method"), ...text("echo")];
      const params = [...text("params"), 0x80, ...text("params"), ...holding(7)];
      peer.write(rawFrame(Type.RPC_REQUEST, Uint8Array.from([0x84, ...method, ...params]), { id: 1n }));
      assert.deepEqual((await answerTo(peer, 1n)).payload?.["result"], { v: 7 });
    },
  },
  {
    section: "Values",
    sentence:
      "Methods, message types and keys are compared byte by byte: there are no escapes, no case folding and no normalization.",
    async run(server) {
      const peer = await server.loginFor("echo");
      const others = ["Echo", "echo ", "echo\0", "%65cho", "\\u0065cho", "ec&#104;o", "ｅcho", "ec\u0068\u0301o"];
      for (const [index, method] of others.entries()) {
        peer.call(method, {}, BigInt(index + 1));
        const { payload } = await answerTo(peer, BigInt(index + 1));
        assert.equal(payload?.["code"], 4000, `'${method}' was taken for 'echo'`);
      }
      const keys = [...text("é"), 1, ...text("e\u0301"), 2, ...text("É"), 3, ...text("\\u00e9"), 4];
      const [echoed] = await echoes(server, [0x84, ...keys]);
      assert.deepEqual(echoed, { é: 1, "e\u0301": 2, É: 3, "\\u00e9": 4 });
    },
  },
  {
    section: "Payloads",
    sentence: "It refuses others (`UNREPRESENTABLE_VALUE`) rather than round them.",
    async run(server) {
      const peer = await server.loginFor("echo");
      const second = [0, 0, 0, 1];
      const timestamps: readonly (readonly [number[], boolean])[] = [
        [holding(0xd6, 0xff, ...second), true],
        // 1.5 s, 1 ns, and a year outside a Date's range.
        [holding(0xd7, 0xff, 0x77, 0x35, 0x94, 0, ...second), true],
        [holding(0xd7, 0xff, 0, 0, 0, 4, ...second), false],
        [holding(0xc7, 12, 0xff, 0, 0, 0, 0, 0x7f, ...ones(7)), false],
      ];
      for (const [index, [params, isExact]] of timestamps.entries()) {
        const id = BigInt(index + 1);
        peer.write(rawFrame(Type.RPC_REQUEST, echoOf(params), { id }));
        const { payload } = await answerTo(peer, id);
        // A peer that can represent a timestamp exactly returns it.
        const isReturned = payload?.["success"] === true;
        assert.ok(isReturned || (!isExact && payload?.["code"] === 7021), `Got ${JSON.stringify(payload)}`);
      }
      await isAlive(peer);
    },
  },
  {
    section: "Values",
    sentence: "Senders send each key once.",
    async run(server) {
      const peer = await server.login();
      await server.callOn(peer, "listall", {}, 1n);
      await server.callOn(peer, "no such method", {}, 2n);
      for (const received of peer.frames.all) hasEachKeyOnce(received);
    },
  },
];
