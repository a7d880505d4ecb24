/**
 * The extensions of protocol 1.0 that two of our own peers agree on at login. Silence means a netconduit peer: none.
 */

/** Names, as they stand in AUTH_REQUEST and AUTH_SUCCESS. */
export const extensionNames = ["reply", "flow", "close", "cancel", "deadline", "call", "advance"] as const;
export type ExtensionName = (typeof extensionNames)[number];

/** Which extensions both sides speak. */
export interface Extensions {
  /** A MESSAGE with a correlation id asks for one reply: RPC_RESPONSE or RPC_ERROR with that id. */
  readonly reply: boolean;
  /** PAUSE and RESUME are sent and obeyed; replies and control frames go on. */
  readonly flow: boolean;
  /** CLOSE is answered by CLOSE_ACK. */
  readonly close: boolean;
  /** The frame CANCEL ends the call it names. */
  readonly cancel: boolean;
  /** RPC_REQUEST may carry `timeout_ms`. */
  readonly deadline: boolean;
  /** The client answers RPC_REQUEST too. */
  readonly call: boolean;
  /** AUTH_SUCCESS brings the challenge of the next login, which then takes one round trip. */
  readonly advance: boolean;
}

/** By bits in the order of {@link extensionNames}: peers that agreed on the same share one object. */
const agreements: Extensions[] = [];
/** By the same bits: what is sent of them. */
const payloads: Readonly<Record<string, true>>[] = [];

const ALL: number = 2 ** extensionNames.length - 1;
const ADVANCE: number = 1 << extensionNames.indexOf("advance");

/** What a netconduit peer speaks. */
export const NO_EXTENSIONS: Extensions = agreement(0);

/** The map for `extensions` in AUTH_REQUEST: all this library knows, `advance` only where it is allowed. */
export function offered(mayAdvance = true): Readonly<Record<string, true>> {
  return payload(mayAdvance ? ALL : ALL & ~ADVANCE);
}

/**
 * What of a peer's `extensions` map this library speaks too, `advance` only where it is allowed; serves both sides, an
 * offer and its acceptance. Names it does not know and parameters other than `true` are ignored; what is not a map
 * offers nothing. Never throws.
 */
export function negotiate(offer: unknown, mayAdvance = true): Extensions {
  if (!isMap(offer)) return NO_EXTENSIONS;
  const bits = bitsOf(offer);
  return agreement(mayAdvance ? bits : bits & ~ADVANCE);
}

/** The map for `extensions` in AUTH_SUCCESS: those accepted. Shared, and frozen. */
export function toPayload(extensions: Extensions): Readonly<Record<string, true>> {
  return payload(bitsOf(extensions));
}

/** Whether a decoded value is a MessagePack map. */
export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

function bitsOf(map: object): number {
  let bits = 0;
  for (let index = 0; index < extensionNames.length; index++) {
    const name = extensionNames[index] as ExtensionName;
    if (Object.hasOwn(map, name) && (map as Record<string, unknown>)[name] === true) bits |= 1 << index;
  }
  return bits;
}

function has(bits: number, name: ExtensionName): boolean {
  return (bits & (1 << extensionNames.indexOf(name))) !== 0;
}

function agreement(bits: number): Extensions {
  const known = agreements[bits];
  if (known !== undefined) return known;
  const agreed = Object.freeze({
    reply: has(bits, "reply"),
    flow: has(bits, "flow"),
    close: has(bits, "close"),
    cancel: has(bits, "cancel"),
    deadline: has(bits, "deadline"),
    call: has(bits, "call"),
    advance: has(bits, "advance"),
  });
  agreements[bits] = agreed;
  return agreed;
}

function payload(bits: number): Readonly<Record<string, true>> {
  const known = payloads[bits];
  if (known !== undefined) return known;
  const made: Record<string, true> = {};
  for (const name of extensionNames) if (has(bits, name)) made[name] = true;
  payloads[bits] = Object.freeze(made);
  return made;
}
