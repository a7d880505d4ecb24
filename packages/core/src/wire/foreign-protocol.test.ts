import { describe, expect, test } from "vitest";
import { foreignProtocol } from "./foreign-protocol.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const of = (bytes: Uint8Array, count = Math.min(4, bytes.length)) => foreignProtocol(bytes, 0, count);

describe("foreignProtocol", () => {
  test.for([
    ["a handshake of TLS 1.0 to 1.3", [0x16, 3, 1, 6]],
    ["a handshake of SSL 3", [0x16, 3, 0, 0]],
    ["an alert", [0x15, 3, 3, 0]],
    ["a change of cipher", [0x14, 3, 3, 0]],
    ["data", [0x17, 3, 4, 255]],
    ["three bytes of a record", [0x16, 3, 1]],
  ] as const)("%s is TLS", ([, bytes]) => {
    expect(of(Uint8Array.from(bytes))).toBe("TLS");
  });

  test.for(["GET / HTTP/1.1", "POST /x", "PRI * HTTP/2.0", "OPTIONS *", "HTTP/1.1 400 Bad Request"])(
    "%s is HTTP",
    (line) => {
      expect(of(text(line))).toBe("HTTP");
    },
  );

  test.for([
    ["no record's type", Uint8Array.of(0x18, 3, 1, 0)],
    ["no version of TLS", Uint8Array.of(0x16, 3, 5, 0)],
    ["another major version", Uint8Array.of(0x16, 2, 1, 0)],
    ["two bytes of a record", Uint8Array.of(0x16, 3)],
    ["three characters of a method", text("GET")],
    ["a mail server's greeting", text("220 mail")],
    ["a frame of netconduit", text("CNDT")],
  ] as const)("%s is none of them", ([, bytes]) => {
    expect(of(bytes)).toBeNull();
  });

  test("looks where it is told to", () => {
    expect(foreignProtocol(text("..GET /"), 2, 4)).toBe("HTTP");
  });
});
