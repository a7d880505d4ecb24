/** Hints for netconduit options whose names differ too much from this library's for "did you mean". */
export const NETCONDUIT_REMARKS = {
  max_message_size: "did you mean maxMessageBytes?",
  reconnect_delay_max: "did you mean reconnect.maxDelayMs?",
  reconnect_delay_multiplier: "did you mean reconnect.multiplier?",
  server_host: "did you mean host?",
  server_port: "did you mean port?",
  ssl_ca_file: "did you mean tls.ca?",
  ssl_cert_file: "did you mean tls.cert?",
  ssl_enabled: "did you mean tls?",
  ssl_key_file: "did you mean tls.key?",
  ssl_verify_client: "did you mean tls.requireClientCertificate?",
  use_ipv6: "did you mean ipv6?",
} as const;
