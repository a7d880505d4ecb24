/** Sessions: a server and a client whose peer sends arbitrary bytes after the login. `streams` starts with open streams. */
import { Buffer } from "node:buffer";
import { encode } from "@msgpack/msgpack";
import { Type } from "../../packages/core/src/testing/raw-frames.ts";
import type { Target } from "../lib/target.ts";
import { chunkBytesOf, clientScene, EXTENSIONS, rawClient, runSteps, serverScene } from "./scene.ts";
import { actStep, advanceStep, frameStep, SETTLE } from "./steps.ts";

/** Values of the first byte: the server or the client is attacked. */
const TO_SERVER = 0;
const TO_CLIENT = 4;

async function run(input: Uint8Array): Promise<void> {
  const first = input[0] ?? 0;
  const steps = input.subarray(1);
  if ((first & TO_CLIENT) !== 0) {
    const scene = await clientScene(chunkBytesOf(first));
    const peer = await scene.raw.admit({ extensions: { ...EXTENSIONS } });
    peer.send(Type.READY);
    await scene.connecting;
    await runSteps(scene.runtime, peer, steps, scene.act);
    return scene.end();
  }
  const scene = await serverScene(chunkBytesOf(first));
  const peer = await rawClient(scene.runtime, 8080, { extensions: { ...EXTENSIONS } });
  await runSteps(scene.runtime, peer, steps, scene.act);
  return scene.end();
}

function of(first: number, ...steps: readonly Buffer[]): Uint8Array {
  return Uint8Array.from(Buffer.concat([Buffer.from([first]), ...steps]));
}

function sent(type: number, payload: unknown = undefined, id: number = 0): Buffer {
  return frameStep({ type, id, payload: payload === undefined ? new Uint8Array(0) : encode(payload) });
}

const call = (method: string, id: number, keys: object = {}): Buffer =>
  sent(Type.RPC_REQUEST, { method, params: {}, ...keys }, id);

/** A frame in two chunks. */
function chunked(id: number): Buffer {
  const whole = Buffer.concat([
    Buffer.from("434e4454010000010000000000000010000000000000000000000000000000", "hex"),
    Buffer.from([0]),
    encode({ type: "note", data: "chunk" }),
  ]);
  whole.writeUInt32BE(whole.length - 32, 12);
  const parts = [whole.subarray(0, 20), whole.subarray(20)];
  return Buffer.concat(parts.map((payload) => frameStep({ type: Type.CHUNK, payload, id })));
}

export const session: Target = {
  name: "session",
  batch: 5,
  seeds: async () => [
    of(TO_SERVER, call("echo", 1), sent(Type.MESSAGE, { type: "note", data: [1] }), SETTLE),
    of(TO_SERVER, call("wait", 1), call("wait", 2), sent(Type.CANCEL, undefined, 1), SETTLE, actStep(4)),
    of(TO_SERVER, call("echo", 1, { timeout_ms: 100, meta: { a: "b" } }), sent(Type.RPC_LIST, undefined, 2), SETTLE),
    of(TO_SERVER, sent(Type.HEARTBEAT_PING, undefined, 7), sent(Type.CREDIT, { frames: 1, bytes: 100 }), actStep(6)),
    of(TO_SERVER, chunked(3), actStep(6), SETTLE, sent(Type.CHUNK_ACK, { bytes: 70_000 }), SETTLE),
    of(TO_SERVER, call("fail", 1), sent(Type.MESSAGE, { type: "wait", data: null }, 2), SETTLE, advanceStep(30_000)),
    of(TO_SERVER, sent(Type.CLOSE, { reason: "bye", code: 1 }), SETTLE, sent(Type.CLOSE_ACK), actStep(0)),
    of(TO_SERVER, actStep(7), SETTLE, sent(Type.RPC_RESPONSE, { success: true, result: 1 }, 1), SETTLE),
    of(TO_SERVER, call("listall", 1), actStep(2), actStep(5), SETTLE, actStep(3), actStep(8)),
    of(TO_CLIENT, actStep(5), SETTLE, sent(Type.RPC_RESPONSE, { success: true, result: 1 }, 1), SETTLE),
    of(TO_CLIENT, actStep(5), SETTLE, sent(Type.RPC_ERROR, { success: false, error: "no", code: 5 }, 1), SETTLE),
    of(TO_CLIENT, sent(Type.DRAIN, { ends_in_ms: 1000, retry_after_ms: 0 }), SETTLE, sent(Type.READY), actStep(6)),
    of(TO_CLIENT, sent(Type.REFUSED, { name: "note", code: 1, error: "x", count: 1 }), call("echo", 1), SETTLE),
    of(
      TO_CLIENT,
      actStep(10),
      SETTLE,
      sent(Type.TOPIC_START, { topic: "news", epoch: "e", offset: 0, presence: true }, 1),
    ),
  ],
  run,
};

/** Encodes stream items, which are concatenated. */
const items = (...values: readonly unknown[]): Uint8Array => Buffer.concat(values.map((value) => encode(value)));

export const streams: Target = {
  name: "streams",
  batch: 5,
  seeds: async () => [
    of(TO_SERVER, call("count", 1, { output: 100 }), SETTLE, sent(Type.OUTPUT_CREDIT, { bytes: 1000 }, 1), SETTLE),
    of(
      TO_SERVER,
      call("sum", 1, { output: 1000, input: true, progress: true }),
      SETTLE,
      frameStep({ type: Type.INPUT, id: 1, payload: items(1, "two", { three: 3 }) }),
      SETTLE,
      sent(Type.INPUT_END, undefined, 1),
      SETTLE,
    ),
    of(
      TO_SERVER,
      call("sum", 1, { output: 10, input: true }),
      SETTLE,
      sent(Type.INPUT_END, { error: "x", code: 1 }, 1),
    ),
    of(
      TO_SERVER,
      call("count", 1, { output: 10 }),
      SETTLE,
      sent(Type.STREAM_ACK, { bytes: 10 }),
      sent(Type.CANCEL, undefined, 1),
    ),
    of(TO_CLIENT, actStep(9), SETTLE, frameStep({ type: Type.OUTPUT, id: 1, payload: items(1, 2) }), SETTLE),
    of(
      TO_CLIENT,
      actStep(9),
      SETTLE,
      frameStep({ type: Type.OUTPUT, id: 1, payload: items({ item: 1 }) }),
      sent(Type.PROGRESS, { value: 1 }, 1),
      sent(Type.RPC_RESPONSE, { success: true, result: null }, 1),
      SETTLE,
    ),
    of(TO_CLIENT, call("sum", 3, { input: true, output: 5 }), SETTLE, sent(Type.INPUT_STOP, undefined, 3), SETTLE),
  ],
  run,
};
