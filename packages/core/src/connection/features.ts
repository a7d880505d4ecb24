/**
 * The features of a connection, by the extensions that its two sides agreed on. All connections with the same
 * extensions share one.
 */
export interface Features {
  /** A MESSAGE with a correlation id requests a reply. */
  readonly correlatesReplies: boolean;
  /** Messages and calls without a reply may ask to hear of their failure. */
  readonly reportsRefusals: boolean;
  /** RPC_REQUEST contains `timeout_ms`. */
  readonly usesDeadlines: boolean;
  /** RPC_REQUEST and MESSAGE may contain `meta`. */
  readonly carriesMetadata: boolean;
  /** CLOSE is answered with CLOSE_ACK. */
  readonly answersClose: boolean;
  /** The client answers calls, too. */
  readonly callsClient: boolean;
  /** Messages and requests need credit. A peer without it is not read while queues are full. */
  readonly hasCredit: boolean;
}

/** Before the login, and with a peer that speaks no extensions. */
export const NO_FEATURES: Features = {
  correlatesReplies: false,
  reportsRefusals: false,
  usesDeadlines: false,
  carriesMetadata: false,
  answersClose: false,
  callsClient: false,
  hasCredit: false,
};
