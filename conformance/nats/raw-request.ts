import { once } from "node:events";
import { connect } from "node:net";

/** Sends a request to NATS over a separate connection, as an operator would. Resolves with the answer as JSON. */
export async function rawRequest(port: number, subject: string, body = ""): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    const commands = ["CONNECT {}", "SUB answer 1", `PUB ${subject} answer ${body.length}`, body, ""];
    socket.write(commands.join("\r\n"));
    let read = "";
    socket.setEncoding("utf8");
    for await (const part of socket) {
      read += part;
      const [, answer] = /^MSG answer 1 \d+\r\n(.*)\r\n/m.exec(read) ?? [];
      if (answer !== undefined) return answer;
    }
    throw new Error(`NATS ended the connection: ${read}`);
  } finally {
    socket.destroy();
  }
}
