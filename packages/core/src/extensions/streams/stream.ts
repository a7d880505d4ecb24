/** Streams of items that accompany calls: to the called side (input) and to the caller (output). See PROTOCOL.md. */

import type { Extension, ExtensionHost, StreamLimits } from "../../connection/extension.ts";
import { asConduitError } from "../../errors.ts";
import {
  DEFAULT_MAX_MESSAGE_BYTES,
  DEFAULT_MAX_STREAMS,
  MAX_CHUNK_BYTES,
  MIN_STREAM_OVERDRAFT_BYTES,
} from "../../limits.ts";
import { isCount } from "../../util/is-count.ts";
import { isMap } from "../../util/is-map.ts";
import { ConnectionStreams } from "./connection-streams.ts";
import { PeerCallStreams } from "./peer-call-streams.ts";
import { StreamFrame } from "./stream-frames.ts";

/** Room for an integer and its key. */
const MAX_BYTES_PAYLOAD = 32;
const MAX_END_BYTES = 16 * 1024;

/** The limits with default options. */
const USUAL: StreamLimits = paramsOf({
  maxStreams: DEFAULT_MAX_STREAMS,
  maxMessageBytes: DEFAULT_MAX_MESSAGE_BYTES,
});

export const stream: Extension<StreamLimits, ConnectionStreams> = {
  name: "stream",
  frames: [
    { type: StreamFrame.INPUT, maxPayloadBytes: MAX_CHUNK_BYTES },
    { type: StreamFrame.OUTPUT, maxPayloadBytes: MAX_CHUNK_BYTES },
    { type: StreamFrame.INPUT_END, maxPayloadBytes: MAX_END_BYTES },
    { type: StreamFrame.INPUT_CREDIT, maxPayloadBytes: MAX_BYTES_PAYLOAD },
    { type: StreamFrame.OUTPUT_CREDIT, maxPayloadBytes: MAX_BYTES_PAYLOAD },
    { type: StreamFrame.INPUT_STOP, maxPayloadBytes: 0 },
    { type: StreamFrame.STREAM_ACK, maxPayloadBytes: MAX_BYTES_PAYLOAD },
    { type: StreamFrame.PROGRESS, maxPayloadBytes: MAX_CHUNK_BYTES },
  ],
  // A peer without credit isn't always read, so streams' credit could be stuck on both sides.
  needs: "credit",
  offer: (settings) => (settings.enableBackpressure ? paramsOf(settings) : null),
  accept(theirs) {
    if (!isMap(theirs)) return null;
    const { streams, overdraft } = theirs;
    if (!isCount(streams, 1) || !isCount(overdraft, 1)) return null;
    // Shared, to save memory of idle connections.
    const isUsual = streams === USUAL.streams && overdraft === USUAL.overdraft;
    return isUsual ? USUAL : { streams, overdraft };
  },
  attach(connection, theirs) {
    connection.streamLimits = theirs;
    return undefined;
  },
  makeState: (connection) => new ConnectionStreams(connection, paramsOf(connection.settings)),
  openStreams(state, idHi, idLo, name, keys) {
    state.mustTakeOneMore(name);
    const call = new PeerCallStreams(state, idHi, idLo, name, keys);
    state.addPeerCall(idHi, idLo, call);
    return call;
  },
  receive(state, frame) {
    if (frame.type === StreamFrame.PROGRESS) {
      state.progress(frame);
      return;
    }
    try {
      state.receive(frame);
    } catch (error) {
      // Later items of that stream couldn't be interpreted.
      state.connection.fail(asConduitError(error));
    }
  },
  closed: (state) => state.closed(),
};

function paramsOf({
  maxStreams,
  maxMessageBytes,
}: Pick<ExtensionHost["settings"], "maxStreams" | "maxMessageBytes">): StreamLimits {
  return { streams: maxStreams, overdraft: Math.max(MIN_STREAM_OVERDRAFT_BYTES, 2 * maxMessageBytes) };
}
