/** Minimum weight of a new sample, as in the heartbeat average. */
const SAMPLE_WEIGHT = 0.3;
/** Without samples for this long, the previous average loses two thirds of its weight. */
const MEMORY_MS = 10_000;

/** A moving average of round-trip times that decays with every sample and over time. */
export class LatencyAverage {
  #ms: number | null = null;
  #sampledAtMs = 0;

  /** Null before the first sample. */
  get ms(): number | null {
    return this.#ms;
  }

  /** @param nowMs monotonic milliseconds */
  add(sampleMs: number, nowMs: number): void {
    const age = nowMs - this.#sampledAtMs;
    const weight = this.#ms === null ? 1 : Math.max(SAMPLE_WEIGHT, 1 - Math.exp(-age / MEMORY_MS));
    this.#ms = weight * sampleMs + (1 - weight) * (this.#ms ?? 0);
    this.#sampledAtMs = nowMs;
  }
}
