/**
 * A number that is encoded as a MessagePack float even if it is whole.
 *
 * Other languages distinguish 2.0 from 2. A plain `2` is sent as an integer; `float64(2)` is sent as a float64, for
 * peers that care (netconduit does). Received floats are plain numbers.
 */
export class Float64 {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }

  valueOf(): number {
    return this.value;
  }
}

/** Wraps `value` to be sent as a float64, see {@link Float64}. */
export function float64(value: number): Float64 {
  return new Float64(value);
}
