/** Ids of connections in a cluster: UUIDs that begin with the epoch of their node's run. */

/** Hexadecimal digits of an id that are the epoch: two blocks of the UUID. */
const EPOCH_IN_ID = /^([0-9a-f]{8})-([0-9a-f]{4})-/;

/** The epoch of the node that made the id; null if it is no connection's id. */
export function epochIn(connection: string): string | null {
  const match = EPOCH_IN_ID.exec(connection);
  return match === null ? null : `${match[1]}${match[2]}`;
}

/** An id for a connection of the run with this epoch. */
export function connectionIdIn(epoch: string): string {
  const uuid = crypto.randomUUID();
  // Joined: a string that was added up keeps its parts.
  return [epoch.slice(0, 8), epoch.slice(8), `8${uuid.slice(15, 18)}`, uuid.slice(19, 23), uuid.slice(24)].join("-");
}
