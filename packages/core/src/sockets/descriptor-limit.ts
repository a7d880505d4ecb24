/** Descriptors that a process needs for itself: the runtime's own, files, connections to other servers. */
const OWN_DESCRIPTORS = 32;
/** The share of the rest that one server's connections may use. */
const CONNECTIONS_SHARE = 0.8;

/** How many connections a server may have open in a process with this limit of file descriptors. */
export function maxSocketsFor(descriptors: number): number {
  return Math.max(1, Math.floor((descriptors - OWN_DESCRIPTORS) * CONNECTIONS_SHARE));
}

/**
 * The process's limit of file descriptors (`ulimit -n`); null if it is unknown or there is none.
 * @param report the runtime's `process.report`, for systems without Linux's /proc: it takes 15 ms
 */
export async function descriptorLimit(
  readText: (path: string) => Promise<string>,
  report?: { getReport(): object },
): Promise<number | null> {
  let limit: unknown;
  try {
    limit = /^Max open files +(\d+)/m.exec(await readText("/proc/self/limits"))?.[1];
  } catch {
    // Not Linux, or not permitted.
    const { userLimits } = (report?.getReport() ?? {}) as { userLimits?: { open_files?: { soft?: unknown } } };
    limit = userLimits?.open_files?.soft;
  }
  const number = Number(limit);
  return Number.isInteger(number) && number > 0 ? number : null;
}
