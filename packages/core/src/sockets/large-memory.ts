/** Blocks from this size on glibc may take from the system anew each time. */
const LARGE_BYTES = 128 * 1024;
/** Just below the largest threshold there is, 32 MiB. */
const FREED_BYTES = 32 * 1024 * 1024 - 64 * 1024;

/**
 * `allocate`, on a system whose C library may be glibc.
 *
 * glibc hands each block beyond its mmap threshold, 128 KiB at first, back to the system when it is freed, so a message
 * of a mebibyte would be read into pages that the system has to find and to clear, which takes longer than reading it.
 * The threshold rises to the largest block that was freed, up to 32 MiB (mallopt(3), M_MMAP_THRESHOLD). Freeing one of
 * that size, of which no page was ever touched, makes it do so; from then on a process keeps up to 64 MiB of what it has
 * freed. Other allocators take no notice.
 */
export function keepingLargeMemory(allocate: (bytes: number) => Uint8Array): (bytes: number) => Uint8Array {
  let isPrepared = false;
  return (bytes) => {
    if (!isPrepared && bytes >= LARGE_BYTES) {
      isPrepared = true;
      // To move its bytes into an empty one is how to free a buffer at once.
      (new ArrayBuffer(FREED_BYTES) as ArrayBuffer & { transfer(bytes: number): ArrayBuffer }).transfer(0);
    }
    return allocate(bytes);
  };
}
