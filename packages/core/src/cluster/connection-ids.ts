/** Connection ids in a cluster: UUIDs that start with the epoch of the node that made them. */

/** The epoch within an id: the UUID's first two groups of hex digits. */
const EPOCH_IN_ID = /^([0-9a-f]{8})-([0-9a-f]{4})-/;

/** The epoch of the node that made the id; null if the text isn't a connection id. */
export function epochIn(connection: string): string | null {
  const match = EPOCH_IN_ID.exec(connection);
  return match === null ? null : `${match[1]}${match[2]}`;
}

/** Makes an id for a connection of the node with this epoch. */
export function connectionIdIn(epoch: string): string {
  const uuid = crypto.randomUUID();
  // `join` makes a flat string; `+` would keep its parts alive.
  return [epoch.slice(0, 8), epoch.slice(8), `8${uuid.slice(15, 18)}`, uuid.slice(19, 23), uuid.slice(24)].join("-");
}
