/** Servers that attack their clients. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { deflateSync } from "node:zlib";
import { EXTENSIONS, extensionsOf } from "../packages/core/src/test-support/raw-peer.ts";
import { ScramServer } from "../packages/core/src/test-support/scram-by-rfc.ts";
import { COMPRESSED, call, frame, message, rawFrame, Type } from "../packages/core/src/testing/raw-frames.ts";
import type { Attack } from "./lib/attack.ts";
import type { AttackSocket } from "./lib/attack-socket.ts";
import { PASSWORD } from "./lib/subject.ts";

const MIB = 1024 * 1024;
const ACK_NOW = 0x8000;
const { TOPIC_START, TOPIC_DATA } = Type;

/** Hostile behaviour on one connection, which is then held open until the client ends it. */
type Form = (client: AttackSocket) => Promise<void>;

/** Sends the same bytes until the client ends the connection. */
async function endless(client: AttackSocket, bytes: Uint8Array): Promise<void> {
  for (;;) await client.write(bytes);
}

async function scramOf(client: AttackSocket): Promise<string> {
  return (await client.next(Type.AUTH_REQUEST)).payload?.["scram"] as string;
}

/** Answers the login with this challenge. */
async function challenge(client: AttackSocket, data: (nonce: string) => unknown): Promise<void> {
  const scram = await scramOf(client);
  await client.write(frame(Type.AUTH_CHALLENGE, { data: data(scram.slice(scram.indexOf("r=") + 2)) }));
}

/** Performs the login like an honest server. Returns the last message, which proves knowledge of the password. */
async function proofFor(client: AttackSocket, password = PASSWORD): Promise<string> {
  const scram = new ScramServer(PASSWORD, await scramOf(client));
  await client.write(frame(Type.AUTH_CHALLENGE, { data: scram.serverFirst }));
  const response = await client.next(Type.AUTH_RESPONSE);
  const proof = scram.answer(response.payload?.["data"] as string);
  return password === PASSWORD ? proof : `v=${randomBytes(32).toString("base64")}`;
}

async function success(client: AttackSocket, scram: string, extensions: unknown = EXTENSIONS): Promise<void> {
  const info = { session_token: "f".repeat(64), server_info: { name: "hostile", version: "1" } };
  await client.write(frame(Type.AUTH_SUCCESS, { ...info, scram, ...extensionsOf(extensions as readonly string[]) }));
}

async function logIn(client: AttackSocket, extensions?: unknown): Promise<void> {
  await success(client, await proofFor(client), extensions);
}

const sends =
  (bytes: Uint8Array): Form =>
  (client) =>
    client.write(bytes);

/** Sends the same bytes endlessly after the login. */
const floods =
  (bytes: Uint8Array, extensions?: unknown): Form =>
  async (client) => {
    await logIn(client, extensions);
    await endless(client, Buffer.concat(Array.from({ length: Math.ceil(65_536 / bytes.length) }, () => bytes)));
  };

const beforeLogin: readonly Form[] = [
  async (client) => void client.socket.end(),
  async (client) => void client.socket.resetAndDestroy(),
  async () => undefined,
  sends(Buffer.from("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")),
  sends(Buffer.from([0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x28])),
  sends(randomBytes(1000)),
  (client) => endless(client, new Uint8Array(65_536)),
  sends(rawFrame(Type.AUTH_CHALLENGE, new Uint8Array(10), { length: 0xffff_ffff })),
  sends(frame(Type.AUTH_CHALLENGE, {}, { version: 9 })),
  sends(rawFrame(0x00ff, new Uint8Array(0))),
  sends(rawFrame(Type.AUTH_CHALLENGE, new Uint8Array(0), { flags: 0x0800 })),
  sends(frame(Type.AUTH_SUCCESS, { session_token: "f".repeat(64), server_info: {} })),
  sends(frame(Type.AUTH_FAILURE, { reason: { reason: [] }, code: Number.NaN })),
  sends(frame(Type.AUTH_FAILURE, { reason: "x".repeat(15_000), code: 3.6e306 })),
  (client) => endless(client, frame(Type.AUTH_CHALLENGE, { data: "r=" })),
];

const duringLogin: readonly Form[] = [
  (client) => challenge(client, (nonce) => `r=${nonce}abc,s=c2FsdA==,i=1000000000`),
  (client) => challenge(client, (nonce) => `r=${nonce}abc,s=c2FsdA==,i=1`),
  (client) => challenge(client, () => "r=another nonce,s=c2FsdA==,i=4096"),
  (client) => challenge(client, (nonce) => `r=${nonce}abc,s=!,i=4096`),
  (client) => challenge(client, (nonce) => ({ nonce })),
  async (client) => {
    await scramOf(client);
    for (const byte of frame(Type.AUTH_CHALLENGE, { data: "r=abc,s=c2FsdA==,i=4096" })) {
      await client.write(Uint8Array.of(byte));
      await sleep(50);
    }
  },
  async (client) => {
    await scramOf(client);
    await client.write(rawFrame(Type.AUTH_CHALLENGE, deflateSync(new Uint8Array(MIB)), { flags: COMPRESSED }));
  },
  async (client) => success(client, await proofFor(client, "another password")),
];

const afterLogin: readonly Form[] = [
  floods(rawFrame(Type.MESSAGE, Uint8Array.of(0xc1))),
  floods(frame(Type.RPC_RESPONSE, { success: true, result: 1 }, { id: 77 })),
  async (client) => {
    await logIn(client);
    client.pause();
    await endless(client, Buffer.concat(Array.from({ length: 2000 }, () => frame(Type.HEARTBEAT_PING))));
  },
  async (client) => {
    await logIn(client, { credit: { frames: 1, bytes: 1 }, chunk: { messages: 1, bytes: MIB } });
    client.pause();
    const head = rawFrame(Type.RPC_RESPONSE, new Uint8Array(0), { length: 10 * MIB });
    await client.write(rawFrame(Type.CHUNK, head, { id: 1 }));
    const one = rawFrame(Type.CHUNK, new Uint8Array(1), { id: 1, flags: ACK_NOW });
    await endless(client, Buffer.concat(Array.from({ length: 2000 }, () => one)));
  },
  async (client) => {
    await logIn(client, ["topic"]);
    for (let id = 1; ; id += 1) {
      await client.write(frame(TOPIC_START, { topic: `room:${id}`, epoch: "e", offset: 0, presence: false }, { id }));
      await client.write(frame(TOPIC_DATA, { offset: 1, data: new Uint8Array(60_000) }, { id }));
    }
  },
  floods(call(1, "echo", { text: "hostile" })),
  floods(message("chat", new Uint8Array(60_000)), { credit: { frames: 1, bytes: 1 } }),
  async (client) => {
    await logIn(client);
    await client.write(frame(Type.CLOSE, { reason: 7, code: Number.NaN, reconnect: "no" }));
  },
];

export const FORMS: readonly Form[] = [...beforeLogin, ...duringLogin, ...afterLogin];

export const hostileServers: readonly Attack[] = [
  {
    name: `hostile servers in ${FORMS.length} forms, 8 clients dial them in turn`,
    isServer: true,
    seconds: 6,
    run: (context) => {
      let n = 0;
      return context.listen((client) => {
        const form = FORMS[n++ % FORMS.length] as Form;
        return form(client);
      });
    },
  },
];
