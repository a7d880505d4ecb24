/** Defaults and limits, with units in their names and reasons in their comments. */

/** Bytes of the fixed header of every frame. */
export const HEADER_BYTES = 32;
/** Default `maxMessageBytes`, 10 MiB as in netconduit; applies to payloads as sent and as inflated. */
export const DEFAULT_MAX_MESSAGE_BYTES: number = 10 * 1024 * 1024;
/** Upper limit of `maxMessageBytes`: netconduit rejects frames above 100 MiB. */
export const PROTOCOL_MAX_MESSAGE_BYTES: number = 100 * 1024 * 1024;
/** Largest frame before login. Login frames are far smaller, and an unauthenticated peer gets no more memory. */
export const MAX_HANDSHAKE_BYTES: number = 16 * 1024;
/**
 * The values of a payload may take this many times `maxMessageBytes` of memory, as `decoded-cost.ts` counts it. One text or
 * binary takes 3 times its bytes, so it passes; many small values don't, because decoding them holds up all others: by
 * default for up to 90 ms (`bench/decoding.ts`).
 */
export const DECODED_FACTOR = 4;
/** Memory that the values of a payload may take even if `maxMessageBytes` is small. */
export const MIN_DECODED_BYTES: number = 1024 * 1024;
/**
 * Frames with a larger payload are sent in chunks of at most this size. Others wait for one chunk, which takes 0.05 ms
 * to send or receive, at a cost of one header.
 */
export const MAX_CHUNK_BYTES: number = 64 * 1024;
/** Frames that a peer may send in chunks at the same time. Each takes a mebibyte of memory once it has begun. */
export const MAX_CHUNKED_FRAMES = 8;
/** Maximum nesting of decoded and encoded values. Deeper nesting could overflow the stack. */
export const MAX_DEPTH = 128;
/** A compressed payload may inflate to this many times its size. Text rarely shrinks to less than a tenth; zlib's most is a thousandth. */
export const MAX_COMPRESSION_RATIO = 100;
/** A compressed payload may inflate to so many bytes, whatever its ratio. */
export const MIN_INFLATED_BYTES: number = 64 * 1024;
/** Payloads larger than this are compressed; netconduit's threshold. */
export const COMPRESSION_THRESHOLD_BYTES = 1024;

/** Time between two heartbeats; 30 s as in netconduit's guide. */
export const DEFAULT_HEARTBEAT_INTERVAL_MS = 30_000;
/** Silence after which the peer counts as lost; 90 s as in netconduit's guide. */
export const DEFAULT_HEARTBEAT_TIMEOUT_MS = 90_000;
/** Rate at which an incomplete frame must arrive, averaged over the heartbeat's timeout. Slow modems reach it. */
export const MIN_FRAME_BYTES_PER_SECOND = 1024;
/** Time limit for the login; 10 s as in netconduit's guide. */
export const DEFAULT_AUTH_TIMEOUT_MS = 10_000;
/** Time limit from accept to ready, connect hooks included; 30 s as in netconduit's guide. */
export const DEFAULT_CONNECTION_TIMEOUT_MS = 30_000;
/** Time limit from `connect()` to the end of the login; 10 s as in netconduit's client. */
export const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;
/** Timeout of a call; 30 s as in netconduit's client. */
export const DEFAULT_RPC_TIMEOUT_MS = 30_000;
/**
 * A connection that ends sooner than this after its login counts as a failed attempt to reconnect. Otherwise a server
 * that accepts a client and drops it again would be dialled forever without backoff.
 */
export const STABLE_CONNECTION_MS = 5_000;
/** How long `disconnect()` and `stop()` wait for the other side before they abort the connection. */
export const DEFAULT_CLOSE_TIMEOUT_MS = 5_000;
/** How long `stop()` lets running handlers finish by default. */
export const DEFAULT_DRAIN_MS = 5_000;

/** Messages that may wait to be sent; 1,000 as in netconduit's guide. */
export const DEFAULT_SEND_QUEUE_SIZE = 1000;
/** Received messages that may wait for their handlers; 1,000 as in netconduit's guide. */
export const DEFAULT_RECEIVE_QUEUE_SIZE = 1000;
/** Bytes that may wait to be sent to one peer. Must exceed the largest message, which could never be sent otherwise. */
export const DEFAULT_SEND_QUEUE_BYTES: number = 16 * 1024 * 1024;
/** Memory for one peer's requests and messages that wait for their handler, and again for those being handled. */
export const DEFAULT_RECEIVE_QUEUE_BYTES: number = 16 * 1024 * 1024;
/** Memory that all connections of a server may hold together. Ten clients with full queues of 10 MiB, both ways. */
export const DEFAULT_MAX_BUFFERED_BYTES: number = 256 * 1024 * 1024;
/** A connection that holds less than this doesn't count against `maxBufferedBytes`. */
export const UNCOUNTED_BYTES: number = 16 * 1024;
/**
 * Extra memory for a peer without credit that isn't read but still owes a reply, which arrives behind its queued data: 16 MiB
 * for its own queue and kernel buffers.
 */
export const OVERRUN_BYTES: number = 16 * 1024 * 1024;
/** The first window of a stream, as that of yamux. It grows while it is used up. */
export const STREAM_WINDOW_BYTES: number = 256 * 1024;
/** The largest window of a stream. */
export const MAX_STREAM_WINDOW_BYTES: number = 16 * 1024 * 1024;
/** Every stream gets this window, even if a connection has granted all that it may. */
export const MIN_STREAM_WINDOW_BYTES: number = 4 * 1024;
/** Bytes of items that may take more than their stream's window; twice `maxMessageBytes` if that is more. */
export const MIN_STREAM_OVERDRAFT_BYTES: number = 16 * 1024 * 1024;
/** Windows that one connection may grant: four that have grown to the largest. */
export const DEFAULT_MAX_STREAM_BYTES: number = 64 * 1024 * 1024;
/** Calls with streams that a peer may have unanswered at a time. */
export const DEFAULT_MAX_STREAMS = 10_000;
/** Calls with streams that this side gave up and the peer hasn't answered yet. */
export const MAX_GIVEN_UP_STREAMS = 10_000;
/** Memory of an open stream in addition to its items. */
export const OPEN_STREAM_BYTES = 1024;
/** Memory of a queued request in addition to its payload. */
export const QUEUED_REQUEST_BYTES = 256;
/** Asynchronous handlers of one connection that may run at the same time. */
export const DEFAULT_HANDLER_CONCURRENCY = 256;
/**
 * Control frames that may wait for a peer with credit, which is always read. Ten thousand streams of an honest one cause two
 * thirds of it.
 */
export const MAX_UNREAD_CONTROL_BYTES: number = 4 * 1024 * 1024;
/** Fill ratio from which a queue asks its users to wait. */
export const HIGH_WATER_RATIO = 0.8;
/** Fill ratio at which they may continue. */
export const LOW_WATER_RATIO = 0.5;
/** Socket buffer of netconduit's guide, 64 KiB. */
export const DEFAULT_BUFFER_SIZE = 65_536;
/** Logged-in clients of a server. */
export const DEFAULT_MAX_CONNECTIONS = 100;

/**
 * How long a connection works in one turn of the event loop while it has more to do. Short, because all others wait for
 * it; at 2 µs a call it is a hundred calls, so passing the turn on costs little by comparison.
 */
export const TIME_SLICE_MS = 0.25;
/** How often a client over its `rateLimit` is told so. */
export const RATE_WINDOW_MS = 1000;
/** A client that is over its rate in more windows than this, one right after the other, is disconnected. */
export const MAX_RATE_VIOLATIONS = 10;

/** Similar errors of one connection, and similar warnings, are reported once in this time, with their number. */
export const REPORT_WINDOW_MS = 1000;
/** A warning's text is cut to this length, because a handler's error may quote what a peer sent. */
export const MAX_WARNING_CHARS = 4000;

/** Events of one kind, such as rejected logins, whose asynchronous hooks may run at the same time. */
export const MAX_RUNNING_HOOKS = 1000;

/**
 * RFC 7677 requires at least 4096. More iterations slow down attackers, and only a client's first login (keys are
 * cached).
 */
export const SCRAM_ITERATIONS = 15_000;
/** A client rejects fewer iterations, as a downgrade. */
export const SCRAM_MIN_ITERATIONS = 4096;
/** A client rejects more iterations, as an attack on its CPU. */
export const SCRAM_MAX_ITERATIONS = 1_000_000;

/** A netconduit client discards bytes that arrive together with AUTH_SUCCESS, so later frames wait this long. */
export const NETCONDUIT_WELCOME_HOLD_MS = 50;
/**
 * A netconduit peer doesn't answer a FIN with its own. After everything is flushed, the connection stays open this long
 * to read data still in transit, because unread bytes would turn the close into a reset.
 */
export const NETCONDUIT_LINGER_MS = 500;

/** Longest time that this side stays away because a peer asks for it: a day. */
export const MAX_RETRY_AFTER_MS = 86_400_000;

/** Memory of large messages that is kept to be used again: so much for what arrives, and so much for what leaves. */
export const MAX_SPARE_BYTES: number = 8 * 1024 * 1024;
/** Interval of checks that release the part of that memory which wasn't used since the last one. */
export const SPARE_MEMORY_MS = 5000;

/** How long the key of a call with `once`, or of a message with `ack`, is remembered. */
export const ONCE_WINDOW_MS = 120_000;
/** Keys that are remembered; half of them for one user. */
export const MAX_ONCE_KEYS = 200_000;
/** Memory of their answers. */
export const MAX_ONCE_BYTES: number = 64 * 1024 * 1024;
/** Such calls that run on although their callers have given up or gone. */
export const MAX_ABANDONED_ONCE = 10_000;
/** Memory of those calls. */
export const MAX_ABANDONED_ONCE_BYTES: number = 64 * 1024 * 1024;
/** How long a store remembers keys. */
export const DEFAULT_ONCE_MS = 600_000;
/** Bytes of one user's keys, and of their answers, in a store. */
export const MAX_STORED_ONCE_BYTES: number = 256 * 1024 * 1024;
/** How long a store keeps dead letters: seven days. */
export const DEAD_LETTER_MS: number = 7 * 24 * 60 * 60 * 1000;
/** Bytes of one user's dead letters in a store. */
export const MAX_DEAD_LETTER_BYTES: number = 64 * 1024 * 1024;
/** How long a session waits for its client. */
export const DEFAULT_RESUME_WINDOW_MS = 120_000;
/** Bytes of a session that were sent and are kept until they are acknowledged. */
export const DEFAULT_RESUME_BYTES: number = 1024 * 1024;
/** A peer that keeps less would wait for acknowledgements all the time. */
export const MIN_RESUME_BYTES: number = 64 * 1024;

/** Topics that one connection may be subscribed to. */
export const DEFAULT_MAX_SUBSCRIPTIONS = 1000;
/** Messages that a topic keeps for its history or for a slow subscriber. */
export const DEFAULT_TOPIC_BUFFER = 1000;
/** How long a topic's history keeps a message. */
export const DEFAULT_TOPIC_AGE_MS = 300_000;
/** Bytes of a topic's history. */
export const DEFAULT_TOPIC_BYTES: number = 16 * 1024 * 1024;
/** The memory of all messages that topics of patterns keep: as much as connections may hold. */
export const DEFAULT_MAX_TOPIC_BYTES: number = 256 * 1024 * 1024;
/** Topics of patterns that have no subscribers but keep messages; the oldest go first. */
export const MAX_IDLE_TOPICS = 10_000;
/** Bytes of the messages that they keep. */
export const MAX_IDLE_TOPIC_BYTES: number = 64 * 1024 * 1024;
/** Changes of a topic's presence are gathered for this time. */
export const PRESENCE_WINDOW_MS = 100;
