import { ErrorCode } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { connectedPair } from "../../../conformance/adapter/endpoints.ts";
import { describeSocketStream } from "../../../conformance/adapter/socket-stream.suite.ts";
import { Recorder } from "../../../conformance/byte-stream/recorder.ts";
import { bunAdapter } from "./test-support.ts";

describeSocketStream(bunAdapter);

describe("SocketStream of Bun", () => {
  test("a sink that throws ends its stream with the error, not the process", async () => {
    const { a, b, dispose } = await connectedPair(bunAdapter, { host: "127.0.0.1" });
    const closed = Promise.withResolvers<Error | null>();
    b.open({
      data() {
        throw new Error("thrown by the sink");
      },
      drained: () => undefined,
      closed: closed.resolve,
    });
    a.open(new Recorder());
    a.write(Uint8Array.of(1));
    expect(await closed.promise).toMatchObject({
      code: ErrorCode.CONNECTION_ERROR,
      cause: { message: "thrown by the sink" },
    });
    a.destroy(null);
    await dispose();
  });
});
