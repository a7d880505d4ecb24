import type { ClusterTopics } from "../../cluster/cluster-topics.ts";
import type { AgreedTopic } from "../../endpoint/contract-option.ts";
import type { EndpointCore } from "../../endpoint/endpoint-core.ts";
import { TOPIC_DATA_FRAME, TOPIC_PUBLISH, TOPIC_SUBSCRIBE, TOPIC_UNSUBSCRIBE } from "../../extensions/topics/topic.ts";
import { STREAM_CLOSED, STREAM_DATA, streamData } from "../../netconduit/streams.ts";
import { builtInMethod, type Registry } from "../../rpc/registry.ts";
import { toHex } from "../../util/hex.ts";
import { EncodedValue } from "../../wire/encoded-value.ts";
import { topicDataHead } from "../../wire/envelope.ts";
import type { FrameWriter } from "../../wire/frame-writer.ts";
import type { FrameBytes } from "../../wire/scattered-frame.ts";
import type { AnyConnection } from "../connection.ts";
import type { ServerConfig } from "../server-options.ts";
import type { Member } from "./channel-host.ts";
import { netconduitCalls, netconduitData } from "./netconduit-topics.ts";
import { PresenceFlusher } from "./presence-flusher.ts";
import { RoomWaits } from "./room-waits.ts";
import { TopicHub } from "./topic-hub.ts";
import { TopicMemory } from "./topic-memory.ts";

const EPOCH_BYTES = 8;
/** Each delivery of a message counts as this many bytes in the time slice. */
const BYTES_PER_DELIVERY = 128;

/** The server of a hub. */
export interface TopicServer {
  readonly core: EndpointCore<AnyConnection>;
  readonly config: ServerConfig;
  readonly cluster: ClusterTopics | null;
  /** The contract's entry for a topic or pattern. */
  agreedTopic(name: string): AgreedTopic | undefined;
  memberOf(connection: AnyConnection): Member | undefined;
  slowMember(member: Member, topic: string, missed: number, disconnect: boolean): void;
}

/** Creates a server's topic hub, and registers the clients' calls. */
export function makeTopicHub({ core, config, cluster, agreedTopic, memberOf, slowMember }: TopicServer): TopicHub {
  const { runtimeContext, writer, reader, wheel } = core;
  const { runtime } = runtimeContext;
  const compressing = config.enableCompression ? runtimeContext.writer(config.maxMessageBytes, true) : null;
  const encode = (type: number, number: number, payload: Readonly<Record<string, unknown>>): FrameBytes => {
    writePayload(writer, type, number, payload);
    return frameOf(writer);
  };
  const encodeMessage = (type: string, data: unknown): FrameBytes => {
    writer.message(0, 0, type, data);
    return frameOf(writer);
  };
  const hub = new TopicHub({
    wheel,
    flusher: new PresenceFlusher({
      wheel,
      now: () => runtime.now(),
      nextTurn: (task) => runtime.nextTurn(task),
      flushFailed: (name, error) => core.reportError(error, "hook", undefined, `presence of ${name}`),
    }),
    maxMessageBytes: config.maxMessageBytes,
    memory: new TopicMemory(config.maxTopicBytes),
    waits: new RoomWaits(),
    cluster,
    compresses: compressing !== null,
    epoch: toHex(runtime.crypto.randomBytes(EPOCH_BYTES)),
    maxSubscriptions: config.maxSubscriptions,
    slowConsumer: config.slowConsumer,
    now: () => runtime.now(),
    chargeDeliveries: (count) => runtimeContext.slice.add(count * BYTES_PER_DELIVERY),
    encode,
    encodePublish: (topic, offset, data, compressed) => {
      const { name, number } = topic;
      const used = compressed && compressing !== null ? compressing : writer;
      const isEncoded = data instanceof EncodedValue;
      if (isEncoded) used.headed(TOPIC_DATA_FRAME, highOf(number), number >>> 0, topicDataHead(offset), data, name);
      else writePayload(used, TOPIC_DATA_FRAME, number, offset === 0 ? { data } : { offset, data }, name);
      return { frame: frameOf(used), payloadBytes: used.payloadBytes };
    },
    logLost: (topic, reason) => hub.endMembers(topic, reason),
    appendFailed: (topic, error) => core.reportError(error, "cluster", undefined, topic),
    encodeData: (topic, data) => writer.encodeData(topic, data),
    encodeStreamData: (topic, data) => {
      const isEncoded = data instanceof EncodedValue;
      const value = isEncoded ? reader.readItem(data.bytes.slice(), 0, data.bytes.length) : data;
      return encodeMessage(STREAM_DATA, streamData(topic, value, runtime.wallClock()));
    },
    sendStreamClosed: (member, stream) => member.sender.sendShared(encodeMessage(STREAM_CLOSED, { stream }), false),
    agreedTopic,
    access: core.access,
    memberOf,
    slowMember,
  });
  addCalls(core.registry, hub);
  return hub;
}

/** Registers the clients' calls, and netconduit's calls once the first topic is defined. */
function addCalls(registry: Registry<AnyConnection>, hub: TopicHub): void {
  const add = (name: string, handler: (params: never, connection: AnyConnection) => unknown, netconduit: boolean) =>
    registry.addBuiltIn(
      builtInMethod<AnyConnection>(name, "", (params, { client }) => handler(params, client)),
      netconduit,
    );
  add(TOPIC_SUBSCRIBE, (params, connection) => hub.subscribe(params, connection), false);
  add(
    TOPIC_UNSUBSCRIBE,
    (params, connection) => {
      hub.unsubscribe(params, connection);
      return null;
    },
    false,
  );
  add(TOPIC_PUBLISH, (params, connection) => hub.publishFrom(params, connection), false);
  hub.onFirstTopic = () => {
    for (const [name, handler] of netconduitCalls(hub)) add(name, handler as never, true);
    registry.addNetconduitHandler({
      type: STREAM_DATA,
      data: null,
      takesPeer: true,
      handler: (connection, data) => netconduitData(hub, connection, data),
    });
  };
}

function writePayload(
  writer: FrameWriter,
  type: number,
  number: number,
  payload: Readonly<Record<string, unknown>>,
  called = "",
): void {
  writer.payload(type, highOf(number), number >>> 0, payload, called);
  writer.gather();
}

/** The upper half of a topic's number. */
function highOf(number: number): number {
  return Math.floor(number / 0x1_0000_0000);
}

/** The writer's frame, valid until the end of the turn. */
function frameOf(writer: FrameWriter): FrameBytes {
  writer.gather();
  return { bytes: writer.bytes, start: writer.start, end: writer.end, large: null };
}
