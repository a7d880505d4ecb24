/** Logins: a server and a client whose peer sends arbitrary bytes from the start. */
import { Buffer } from "node:buffer";
import { encode } from "@msgpack/msgpack";
import { Type } from "../../packages/core/src/testing/raw-frames.ts";
import type { Target } from "../lib/target.ts";
import { chunkBytesOf, clientScene, EXTENSIONS, PASSWORD, rawDial, runSteps, serverScene } from "./scene.ts";
import { frameStep, SETTLE } from "./steps.ts";

/** The first byte selects the attacked side: a client if it is odd. */
function isClient(input: Uint8Array): boolean {
  return ((input[0] ?? 0) & 4) !== 0;
}

/** Records the steps of a raw client's login. They can be replayed, because the server's random bytes are fixed. */
async function recordedLogin(): Promise<Uint8Array> {
  const { runtime, server } = await serverScene(65_536);
  const peer = await rawDial(runtime, 8080);
  await peer.login({ password: PASSWORD, extensions: EXTENSIONS });
  const steps = peer.sent.flatMap((bytes) => {
    const type = Buffer.from(bytes).readUInt16BE(6);
    return [frameStep({ type, payload: bytes.subarray(32) }), SETTLE];
  });
  peer.reset();
  await server.stop({ drainMs: 0 });
  return Uint8Array.from(Buffer.concat([Buffer.from([0]), ...steps]));
}

function request(payload: Readonly<Record<string, unknown>>): Uint8Array {
  return Uint8Array.from([0, ...frameStep({ type: Type.AUTH_REQUEST, payload: encode(payload) }), ...SETTLE]);
}

/** Answers of a raw server. */
function answers(
  ...frames: readonly (readonly [type: number, payload: Readonly<Record<string, unknown>>])[]
): Uint8Array {
  const steps = frames.flatMap(([type, payload]) => [frameStep({ type, payload: encode(payload) }), SETTLE]);
  return Uint8Array.from(Buffer.concat([Buffer.from([4]), ...steps]));
}

const CHALLENGE = { data: "r=AAAA,s=c2FsdHNhbHQ=,i=4096" };
const SUCCESS = { session_token: "f".repeat(64), server_info: { name: "raw", version: "1" } };

export const login: Target = {
  name: "login",
  batch: 5,
  seeds: async () => [
    await recordedLogin(),
    request({ client_info: { name: "raw", version: "1" }, password_hash: "0".repeat(64) }),
    request({ client_info: {}, scram: "n,,n=,r=abcdefghijklmnop", extensions: EXTENSIONS }),
    request({ client_info: {}, methods: ["token"], extensions: { resume: {} } }),
    answers([Type.AUTH_CHALLENGE, CHALLENGE], [Type.AUTH_SUCCESS, { ...SUCCESS, scram: "v=AAAA" }]),
    answers([Type.AUTH_SUCCESS, SUCCESS]),
    answers([Type.AUTH_FAILURE, { reason: "no", code: 3001 }]),
    answers([Type.AUTH_CHALLENGE, { methods: ["scram", "token"] }]),
  ],
  async run(input) {
    const chunkBytes = chunkBytesOf(input[0] ?? 0);
    const steps = input.subarray(1);
    if (isClient(input)) {
      const scene = await clientScene(chunkBytes);
      const peer = await scene.raw.accept();
      await runSteps(scene.runtime, peer, steps, scene.act);
      return scene.end();
    }
    const scene = await serverScene(chunkBytes);
    const peer = await rawDial(scene.runtime, 8080);
    await runSteps(scene.runtime, peer, steps, scene.act);
    return scene.end();
  },
};
