/** The program of this library's client under test, as described in README.md. */
import { join } from "node:path";
import { ConduitError, type TlsClientOptions } from "@netconduit/core";
import type { OpenClient } from "../support/subject.ts";

type Methods = Pick<OpenClient, "disconnect" | "rpc" | "on" | "stream" | "call" | "send" | "subscribe" | "publish">;

/** Options of a client that logs in with the certificate in this folder. */
export function byCertificate(folder: string): { credentials: { certificate: true }; tls: TlsClientOptions } {
  const [ca, cert, key] = ["ca.crt", "client.crt", "client.key"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  return { credentials: { certificate: true }, tls: { ca, cert, key } };
}

/** Options of a client that either resumes its session or connects only once. */
export function reconnecting(resumes: boolean): object {
  return resumes
    ? { resume: true, reconnect: { delayMs: 1, maxDelayMs: 1 } }
    : { resume: false, reconnect: { enabled: false } };
}

/** Connects and behaves as described in README.md. Resolves when the call has ended; the login may fail. */
export async function runClient(client: Methods & Pick<OpenClient, "connect" | "isConnected">): Promise<void> {
  addMethods(client);
  try {
    await client.connect();
    client.send("result", await client.call("echo", { text: "hello" }));
  } catch (error) {
    if (client.isConnected && error instanceof ConduitError) client.send("error", { code: error.code });
  }
}

function addMethods(client: Methods): void {
  client.rpc("echo", (params) => params);
  client.stream({ name: "wire_echo", input: true }, (_params, context) => context.input);
  client.on("wire_echo", (data) => data);
  const outcome = async (result: Promise<unknown>): Promise<object> => {
    try {
      return { result: await result };
    } catch (error) {
      return { code: error instanceof ConduitError ? error.code : 1000 };
    }
  };
  client.rpc("wire_call", ({ method, params, give_up_ms }) => {
    const options = typeof give_up_ms === "number" ? { timeoutMs: give_up_ms } : {};
    return outcome(client.call(String(method), params as Record<string, unknown>, options));
  });
  client.rpc("wire_input", ({ items, give_up_ms }) => {
    const options = typeof give_up_ms === "number" ? { timeoutMs: give_up_ms } : {};
    return outcome(client.call("wire_items", {}, { input: items as readonly unknown[], ...options }));
  });
  client.rpc("wire_send", ({ items }) => {
    for (const item of items as readonly unknown[]) client.send("item", item);
  });
  client.rpc("wire_disconnect", () => {
    // The answer is sent first.
    setTimeout(() => void client.disconnect(), 0);
  });
  addTopicMethods(client);
}

function addTopicMethods(client: Methods): void {
  const closing = new Map<string, () => void>();
  client.rpc("wire_subscribe", ({ topic }) => {
    const subscription = client.subscribe(String(topic));
    closing.set(String(topic), () => subscription.close());
    const read = async (): Promise<void> => {
      for await (const data of subscription) client.send("topic", data);
      client.send("topic_end");
    };
    // The connection ends after the check.
    read().catch(() => {});
  });
  client.rpc("wire_unsubscribe", ({ topic }) => closing.get(String(topic))?.());
  client.rpc("wire_publish", ({ topic, data }) => client.publish(String(topic), data));
}
