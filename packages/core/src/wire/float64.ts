/**
 * A number that travels as a MessagePack float even when it is whole.
 *
 * JavaScript has one number type; other languages tell 2.0 from 2. A plain `2` is sent as an integer; `float64(2)` is
 * sent as a float64, for peers that care (netconduit keeps floats and integers apart). Received floats are plain numbers.
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

/** Marks `value` to be sent as a float64, see {@link Float64}. */
export function float64(value: number): Float64 {
  return new Float64(value);
}
