import type { FakeRuntime } from "./fake-runtime.ts";

/** Tracks `ref` and `unref` of the server's streams from now on: whether each keeps the process running, in order. */
export function trackKeepAlive(runtime: FakeRuntime): readonly boolean[] {
  const keeping: boolean[] = [];
  const pair = runtime.pair.bind(runtime);
  runtime.pair = () => {
    const streams = pair();
    const index = keeping.push(true) - 1;
    streams[1].ref = () => {
      keeping[index] = true;
    };
    streams[1].unref = () => {
      keeping[index] = false;
    };
    return streams;
  };
  return keeping;
}
