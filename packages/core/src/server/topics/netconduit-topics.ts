/** Lets Python netconduit clients use topics through netconduit's `stream_…` calls and messages. */

import { ErrorCode, isInstance, RpcError } from "../../errors.ts";
import { isTopicName } from "../../extensions/topics/topic-name.ts";
import {
  STREAM_CREATE,
  STREAM_EXISTS,
  STREAM_LIST,
  STREAM_SUBSCRIBE,
  STREAM_UNSUBSCRIBE,
  type StreamInfo,
  streamNotFound,
} from "../../netconduit/streams.ts";
import { isMap } from "../../util/is-map.ts";
import type { AnyConnection } from "../connection.ts";
import type { TopicChannel } from "./topic-channel.ts";
import type { TopicHub } from "./topic-hub.ts";

/** Maximum number of streams in the answer to `stream_list`. */
const MAX_LISTED = 1000;

type Params = Readonly<Record<string, unknown>>;
type Handler = (params: Params, connection: AnyConnection) => unknown;

/** The handlers of netconduit's calls, by name. */
export function netconduitCalls(hub: TopicHub): ReadonlyMap<string, Handler> {
  return new Map<string, Handler>([
    [STREAM_LIST, (_params, connection) => ({ streams: list(hub, connection) })],
    [STREAM_SUBSCRIBE, (params, connection) => subscribe(hub, params, connection)],
    [STREAM_UNSUBSCRIBE, (params, connection) => unsubscribe(hub, params, connection)],
    [STREAM_CREATE, (params, connection) => create(hub, params, connection)],
  ]);
}

/** Handles netconduit's message `stream_data`. */
export async function netconduitData(hub: TopicHub, connection: AnyConnection, data: unknown): Promise<unknown> {
  const { stream, data: published } = isMap(data) ? data : {};
  await hub.publishFrom({ topic: stream, data: published }, connection);
  return { received: true };
}

/** Whether to list a topic: it is open to all, or the client takes part in it. Only `authorize` could decide about others. */
function isVisible(hub: TopicHub, { name, owner, rules }: TopicChannel, connection: AnyConnection): boolean {
  if (rules.authorize === null && rules.access === null) return true;
  return hub.has(name, rules, connection) || owner?.peer === connection;
}

function list(hub: TopicHub, connection: AnyConnection): StreamInfo[] {
  const streams: StreamInfo[] = [];
  for (const channel of hub.channels) {
    if (streams.length === MAX_LISTED) break;
    if (!isVisible(hub, channel, connection)) continue;
    const { name, owner, members } = channel;
    streams.push({ name, owner: owner?.peer.id ?? "server", subscribers: members.size, active: true });
  }
  return streams;
}

async function subscribe(hub: TopicHub, { stream_name: name }: Params, connection: AnyConnection): Promise<unknown> {
  try {
    await hub.subscribe({ topic: name }, connection);
    return { subscribed: true, stream: name };
  } catch (error) {
    if (isUnknown(error)) return streamNotFound(name);
    throw error;
  }
}

function unsubscribe(hub: TopicHub, { stream_name: name }: Params, connection: AnyConnection): unknown {
  hub.unsubscribe({ topic: name }, connection);
  return { unsubscribed: true };
}

/** Creates a topic of a pattern if the client may publish to it. Other clients don't learn whether it exists. */
async function create(hub: TopicHub, { stream_name: name }: Params, connection: AnyConnection): Promise<unknown> {
  const known = isTopicName(name) ? hub.channel(name) : undefined;
  if (known !== undefined && isVisible(hub, known, connection)) return STREAM_EXISTS;
  const topic = await hub.create(name, connection);
  return topic === null ? STREAM_EXISTS : { created: true, stream: name, stream_id: String(topic.number) };
}

function isUnknown(error: unknown): boolean {
  return isInstance(error, RpcError) && (error.code === ErrorCode.NOT_FOUND || error.code === ErrorCode.INVALID_PARAMS);
}
