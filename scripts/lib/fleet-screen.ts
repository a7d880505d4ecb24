/** Size of the terminal in docs/fleet.svg. It is tall enough for all events since the devices joined. */
export const COLUMNS = 96;
export const ROWS = 38;
export const TITLE =
  "The fleet's dashboard after its connection was cut and its server was killed: devices, presence, subscriptions, logs and an upload have come back";
