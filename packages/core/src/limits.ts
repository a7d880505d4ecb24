/** Every default and bound, with its unit in its name and its reason beside it. */

/** Bytes of the fixed header of every frame. */
export const HEADER_BYTES = 32;
/** Default `maxMessageBytes`: netconduit's documented default, 10 MiB, for frame payloads and inflated payloads. */
export const DEFAULT_MAX_MESSAGE_BYTES: number = 10 * 1024 * 1024;
/** netconduit refuses any frame above 100 MiB, so no setting of ours may exceed it. */
export const PROTOCOL_MAX_MESSAGE_BYTES: number = 100 * 1024 * 1024;
/** Before login: no handshake frame of any peer comes near this, and a stranger gets no more memory than it. */
export const MAX_HANDSHAKE_BYTES: number = 16 * 1024;
/**
 * A payload may hold one map or array per this many bytes of `maxMessageBytes`, 262,144 by default. Each takes far more
 * memory and time than its one byte on the wire.
 */
export const BYTES_PER_CONTAINER = 40;
/** Maps and arrays a payload may hold however small `maxMessageBytes` is. */
export const MIN_CONTAINERS: number = 16 * 1024;
/** What a decoded map or array counts in the receive queue beside its payload bytes: about what it takes. */
export const CONTAINER_COST_BYTES = 64;
/** Nesting of decoded and encoded values. Deeper is a stack attack rather than data. */
export const MAX_DEPTH = 128;
/** Payloads of more bytes than this are worth compressing; netconduit's threshold. */
export const COMPRESSION_THRESHOLD_BYTES = 1024;

/** Heartbeat defaults of the seed guide, 30 s and 90 s. */
export const DEFAULT_HEARTBEAT_INTERVAL_MS = 30_000;
export const DEFAULT_HEARTBEAT_TIMEOUT_MS = 90_000;
/** Login must finish within this; the seed guide's 10 s. */
export const DEFAULT_AUTH_TIMEOUT_MS = 10_000;
/** From accept to usable, connect hooks included; the seed guide's 30 s. */
export const DEFAULT_CONNECTION_TIMEOUT_MS = 30_000;
/** The netconduit client's defaults: 10 s to connect, 30 s for a call. */
export const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;
export const DEFAULT_RPC_TIMEOUT_MS = 30_000;
/**
 * A connection that ends sooner after its login counts as a failed attempt to reconnect: otherwise a server that lets a
 * client in and throws it out again would be dialled for ever, without back-off.
 */
export const STABLE_CONNECTION_MS = 5_000;
/** How long `disconnect()` and `stop()` wait for the other side before they force the end. */
export const DEFAULT_CLOSE_TIMEOUT_MS = 5_000;
/** How long `stop()` lets running handlers finish by default. */
export const DEFAULT_DRAIN_MS = 5_000;

/** Messages; the seed guide's 1,000. */
export const DEFAULT_SEND_QUEUE_SIZE = 1000;
export const DEFAULT_RECEIVE_QUEUE_SIZE = 1000;
/** Bytes waiting to be written to one peer. Must exceed the largest message, or that one could never be sent. */
export const DEFAULT_SEND_QUEUE_BYTES: number = 16 * 1024 * 1024;
/** Memory that one peer's requests and messages may take: those that wait for their handler, and those being handled. */
export const DEFAULT_RECEIVE_QUEUE_BYTES: number = 16 * 1024 * 1024;
/**
 * Taken beyond that from a peer that was told to pause and owes a reply, which comes behind it: its own queue and what
 * kernels buffer, 16 MiB for both.
 */
export const OVERRUN_BYTES: number = 16 * 1024 * 1024;
/** Memory of a request that waits for its handler, beside its payload. */
export const QUEUED_REQUEST_BYTES = 256;
/** Asynchronous handlers of one connection running at the same time. */
export const DEFAULT_HANDLER_CONCURRENCY = 256;
/** Fill ratios at which flow control says PAUSE and RESUME; netconduit's own. */
export const HIGH_WATER_RATIO = 0.8;
export const LOW_WATER_RATIO = 0.5;
/** Socket buffer of the seed guide: 64 KiB. */
export const DEFAULT_BUFFER_SIZE = 65_536;
export const DEFAULT_MAX_CONNECTIONS = 100;

/** RFC 7677 asks for at least 4096; more slows only an attacker and a client's first login (keys are cached). */
export const SCRAM_ITERATIONS = 15_000;
/** A server asking for less is refused as a downgrade, one asking for more as an attack on the client's CPU. */
export const SCRAM_MIN_ITERATIONS = 4096;
export const SCRAM_MAX_ITERATIONS = 1_000_000;

/**
 * A challenge handed out for the next login is good for this long. Long enough for a client that comes back after its
 * server was out of reach, or that connects now and then; short, because whoever holds back a client's AUTH_REQUEST can
 * deliver it until then.
 */
export const NEXT_LOGIN_MS: number = 10 * 60 * 1000;
/** A server knows of so many of its last challenges whether they were used, at one bit each: 8 KiB. A power of two. */
export const NEXT_LOGIN_WINDOW = 65_536;
/** A client remembers so many servers; more than a process talks to, and some 2 MB at worst with the next bound. */
export const NEXT_LOGIN_TARGETS = 64;
/**
 * And so many challenges of each: as many logins can be under way to it at the same time, in one round trip each. Every
 * login brings a new one, so more are needed only where more clients than that dial in the same moment.
 */
export const NEXT_LOGINS_PER_TARGET = 256;

/** A netconduit client discards what arrives together with AUTH_SUCCESS; what follows waits this long. */
export const NETCONDUIT_WELCOME_HOLD_MS = 50;
/**
 * A netconduit peer does not answer FIN with its own. Once all is flushed, a connection to one stays open this long
 * after a close, to read what is still under way: unread bytes would turn the end into a reset.
 */
export const NETCONDUIT_LINGER_MS = 500;

/** Memory of large messages that is kept to be used again: so much for what arrives, and so much for what leaves. */
export const MAX_SPARE_BYTES: number = 8 * 1024 * 1024;
/** So often such memory is looked through; what was of no use since the last time is let go. */
export const SPARE_MEMORY_MS = 5000;
