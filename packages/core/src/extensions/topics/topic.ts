/**
 * Topics: frames from a server to the subscribers of a topic. Clients subscribe, unsubscribe and publish by calling
 * reserved methods, so all limits of calls (credit, rate, deadlines, connect hooks) apply to them.
 *
 * A frame's correlation id is the topic's number, which is the same for all connections, so that a publish is encoded
 * once. The frames need credit, which is returned as soon as they are in the subscription's bounded buffer.
 */

import type { Extension, ExtensionHost, ReceivedFrame } from "../../connection/extension.ts";
import { wireBytes } from "../../connection/receive/queued-frame.ts";
import { asConduitError, ConduitError, ErrorCode } from "../../errors.ts";
import { oneLine } from "../../text/describe-value.ts";
import { isCount } from "../../util/is-count.ts";
import { isMap } from "../../util/is-map.ts";
import { ReservedMethod } from "../../wire/called-as.ts";
import { MAX_TOPIC_CHARS } from "./topic-name.ts";

/** `{topic: str, epoch: str, offset: int, presence: bool, lost?: bool, token?: int}`. */
export const TOPIC_START_FRAME = 0x0130;
/** `{offset?: int, data: any}`. */
export const TOPIC_DATA_FRAME = 0x0131;
/** `{reset: bool, joined: [[id: str, user: str | nil]], left: [id: str]}`. */
export const TOPIC_PRESENCE_FRAME = 0x0132;
/** `{code: int, reason: str}`. */
export const TOPIC_END_FRAME = 0x0133;

/** Reserved methods of servers. */
export const TOPIC_SUBSCRIBE: typeof ReservedMethod.SUBSCRIBE = ReservedMethod.SUBSCRIBE;
export const TOPIC_UNSUBSCRIBE: typeof ReservedMethod.UNSUBSCRIBE = ReservedMethod.UNSUBSCRIBE;
export const TOPIC_PUBLISH: typeof ReservedMethod.PUBLISH = ReservedMethod.PUBLISH;

/** Longest id and user in a presence list. */
export const MAX_PRESENCE_CHARS = 256;
/** Enough for a name, an epoch and a few integers. */
const MAX_START_BYTES = 4096;
const MAX_END_BYTES = 16 * 1024;
const TWO_TO_32 = 0x1_0000_0000;

/** The server announces the maximum number of topics per connection. */
export interface TopicParams {
  /** Null if the peer didn't state it. */
  readonly subscriptions: number | null;
}

/** TOPIC_START: the following messages of this topic come after `offset`. */
export interface TopicStart {
  readonly topic: string;
  readonly epoch: string;
  readonly offset: number;
  /** Whether presence frames follow. */
  readonly presence: boolean;
  /** Whether the topic ends before the call's `since`, because messages were lost. */
  readonly lost: boolean;
  /** Token of the subscribing call; null if the server subscribed the client. */
  readonly token: number | null;
}

/** TOPIC_PRESENCE. */
export interface PresenceFrame {
  /** Whether `joined` is the full list. */
  readonly reset: boolean;
  readonly joined: readonly (readonly [id: string, user: string | null])[];
  readonly left: readonly string[];
}

/** A client's subscriptions. */
export interface TopicReceiver {
  topicStarted(number: number, start: TopicStart): void;
  /** @param offset 0 if the message isn't part of the topic's history. `bytes`: memory used by `data` */
  topicData(number: number, offset: number, data: unknown, bytes: number): void;
  topicPresence(number: number, presence: PresenceFrame): void;
  topicEnded(number: number, error: ConduitError): void;
}

/** The extension's state for a connection. */
export interface TopicState {
  readonly connection: ExtensionHost;
  /** Null on a server, and on a client without subscriptions, which drop these frames. */
  receiver: TopicReceiver | null;
}

export const topic: Extension<TopicParams | true, TopicState> = {
  name: "topic",
  frames: [
    { type: TOPIC_START_FRAME, maxPayloadBytes: MAX_START_BYTES, from: "server" },
    { type: TOPIC_DATA_FRAME, from: "server" },
    { type: TOPIC_PRESENCE_FRAME, from: "server" },
    { type: TOPIC_END_FRAME, maxPayloadBytes: MAX_END_BYTES, from: "server" },
  ],
  offer: ({ maxSubscriptions }) => (maxSubscriptions === undefined ? true : { subscriptions: maxSubscriptions }),
  accept(theirs) {
    if (theirs === true) return { subscriptions: null };
    if (!isMap(theirs)) return null;
    const { subscriptions } = theirs;
    return { subscriptions: isCount(subscriptions) ? subscriptions : null };
  },
  makeState: (connection) => ({ connection, receiver: null }),
  receive(state, frame) {
    const { connection, receiver } = state;
    try {
      connection.requests.charge(wireBytes(frame));
    } catch (error) {
      connection.fail(asConduitError(error));
      return;
    }
    try {
      if (receiver !== null) pass(connection, receiver, frame);
    } finally {
      connection.requests.requestTaken(wireBytes(frame));
    }
  },
};

/** @throws ConduitError INVALID_PAYLOAD_SHAPE, or any decoding error */
function pass(connection: ExtensionHost, receiver: TopicReceiver, frame: ReceivedFrame): void {
  const number = frame.correlationHi * TWO_TO_32 + frame.correlationLo;
  const payload = connection.readMap(frame) ?? {};
  switch (frame.type) {
    case TOPIC_DATA_FRAME: {
      const { offset = 0, data = null } = payload;
      if (!isCount(offset)) throw invalid("TOPIC_DATA", "offset must be an integer of at least 0");
      receiver.topicData(number, offset, data, connection.reader.size);
      return;
    }
    case TOPIC_START_FRAME:
      receiver.topicStarted(number, startIn(payload));
      return;
    case TOPIC_PRESENCE_FRAME:
      receiver.topicPresence(number, presenceIn(payload));
      return;
    default: {
      const { code, reason } = payload;
      const known = isCount(code) ? code : ErrorCode.UNKNOWN;
      receiver.topicEnded(number, new ConduitError(known, typeof reason === "string" ? oneLine(reason) : ""));
    }
  }
}

function startIn(payload: Record<string, unknown>): TopicStart {
  const { topic: name, epoch, offset, presence, lost, token } = payload;
  if (!isText(name, MAX_TOPIC_CHARS) || !isText(epoch, MAX_TOPIC_CHARS) || !isCount(offset)) {
    throw invalid("TOPIC_START", "topic and epoch must be strings, and offset an integer of at least 0");
  }
  return {
    topic: name,
    epoch,
    offset,
    presence: presence === true,
    lost: lost === true,
    token: isCount(token) ? token : null,
  };
}

function presenceIn({ reset, joined, left }: Record<string, unknown>): PresenceFrame {
  const isJoined = Array.isArray(joined) && joined.every(isMember);
  const isLeft = Array.isArray(left) && left.every((id) => isText(id, MAX_PRESENCE_CHARS));
  if (!isJoined || !isLeft) {
    throw invalid("TOPIC_PRESENCE", "joined must be a list of [id, user], and left a list of ids");
  }
  return { reset: reset === true, joined: joined as PresenceFrame["joined"], left: left as string[] };
}

function isMember(value: unknown): value is [string, string | null] {
  if (!Array.isArray(value)) return false;
  const [id, user] = value as unknown[];
  return isText(id, MAX_PRESENCE_CHARS) && (user === null || isText(user, MAX_PRESENCE_CHARS));
}

function isText(value: unknown, maxChars: number): value is string {
  return typeof value === "string" && value.length <= maxChars;
}

function invalid(frame: string, rule: string): ConduitError {
  return new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, `Cannot read the payload of ${frame}: ${rule}`);
}
