import { expect, test } from "vitest";
import { ConduitError, ErrorCode } from "../errors.ts";
import { sendToUser, type UserConnections } from "./send-to-user.ts";

const ada: UserConnections = { user: "ada", ids: ["1", "2"], missing: [], isAlone: false };
const taken = async (): Promise<void> => undefined;
const late = new ConduitError(ErrorCode.TIMEOUT, "Too late");

test("A message that every connection of a user has acknowledged is delivered", async () => {
  const sent: string[] = [];
  const sending = sendToUser("note", ada, async (id) => {
    sent.push(id);
  });
  await expect(sending).resolves.toBeUndefined();
  expect(sent).toEqual(["1", "2"]);
});

test.each([
  {
    what: "a connection didn't acknowledge it",
    connections: ada,
    send: (id: string) => (id === "2" ? Promise.reject(late) : taken()),
    message: "'note' was not acknowledged by 1 of 2 connections of the user 'ada': 2: Too late",
    details: { failed: [{ id: "2", code: ErrorCode.TIMEOUT, message: "Too late" }], missing: [] },
  },
  {
    what: "nodes didn't say which connections they have",
    connections: { ...ada, missing: ["b", "c"] },
    send: taken,
    message: "'note' may have missed connections on nodes that did not answer: b, c",
    details: { failed: [], missing: ["b", "c"] },
  },
  {
    what: "other nodes can't be asked",
    connections: { ...ada, isAlone: true },
    send: taken,
    message: "'note' may have missed connections on other nodes: the link is down",
    details: { failed: [], missing: [] },
  },
  {
    what: "both",
    connections: { ...ada, ids: ["1"], isAlone: true },
    send: () => Promise.reject(late),
    message:
      "'note' was not acknowledged by 1 of 1 connections of the user 'ada': 1: Too late; it may have missed connections on other nodes: the link is down",
    details: { failed: [{ id: "1", code: ErrorCode.TIMEOUT, message: "Too late" }], missing: [] },
  },
  {
    what: "the user has no connection",
    connections: { ...ada, ids: [] },
    send: taken,
    message: "'note' was not sent: the user 'ada' has no connection",
    details: { failed: [], missing: [], started: false },
  },
])("NOT_DELIVERED says so if $what", async ({ connections, send, message, details }) => {
  const sending = sendToUser("note", connections, send);
  await expect(sending).rejects.toMatchObject({ code: ErrorCode.NOT_DELIVERED, message });
  await sending.catch((error: ConduitError) => expect(error.details).toEqual(details));
});
