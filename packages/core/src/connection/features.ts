/**
 * The features that follow from a connection's negotiated extensions. Connections with the same extensions share one
 * object.
 */
export interface Features {
  /** A MESSAGE with a correlation id requests a reply. */
  readonly correlatesReplies: boolean;
  /** Messages and calls without a reply may request a notification of their failure. */
  readonly reportsRefusals: boolean;
  /** RPC_REQUEST contains `timeout_ms`. */
  readonly usesDeadlines: boolean;
  /** RPC_REQUEST and MESSAGE may contain `meta`. */
  readonly carriesMetadata: boolean;
  /** CLOSE is answered with CLOSE_ACK. */
  readonly answersClose: boolean;
  /** The client also answers calls. */
  readonly callsClient: boolean;
  /** Messages and requests need credit. Without this, reading from the peer stops while queues are full. */
  readonly hasCredit: boolean;
}

/** Used before the login, and with peers without extensions. */
export const NO_FEATURES: Features = {
  correlatesReplies: false,
  reportsRefusals: false,
  usesDeadlines: false,
  carriesMetadata: false,
  answersClose: false,
  callsClient: false,
  hasCredit: false,
};
