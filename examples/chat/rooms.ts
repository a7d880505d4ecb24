/** The rooms of the chat server, and the methods and messages of its clients. */

import { type Contract, error, type Server } from "@netconduit/node";
import * as v from "valibot";

export interface Member {
  /** Empty until the client has joined. */
  nick: string;
  room: string;
}

const Name = v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(20));
const Text = v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(500));

export function addRooms(server: Server<Contract, Member>): void {
  /** Sends to everyone in a room except the connection `except`. Returns the number of connections. */
  function sendToRoom(room: string, type: string, data: unknown, except?: string): number {
    return server.broadcast(type, data, { where: (connection) => connection.data.room === room, exclude: except });
  }

  function membersOf(room: string): string[] {
    return server.connections
      .filter((connection) => connection.data.room === room)
      .map((connection) => connection.data.nick)
      .sort();
  }

  /** Joins a room under a nickname; call it again to change either. */
  server.rpc("join", v.object({ nick: Name, room: Name }), ({ nick, room }, { client }) => {
    const before = client.data;
    if (server.connections.some((other) => other !== client && other.data.nick === nick)) {
      return error.validation(`The nickname ${nick} is taken`, { field: "nick", received: nick });
    }
    if (before.room !== "" && before.room !== room) sendToRoom(before.room, "left", { nick: before.nick }, client.id);
    client.data = { nick, room };
    if (before.room !== room) sendToRoom(room, "joined", { nick }, client.id);
    else if (before.nick !== nick) sendToRoom(room, "renamed", { from: before.nick, to: nick }, client.id);
    console.log(`${nick} is in ${room}`);
    return { room, members: membersOf(room) };
  });

  server.rpc("who", (_params, { client }) => ({ members: membersOf(client.data.room) }));

  /** Sends to everyone else in the room; replies with the number of recipients. */
  server.on("say", v.object({ text: Text }), (client, { text }) => {
    const { nick, room } = client.data;
    if (nick === "") return error.permissionDenied("say before join");
    return { reached: sendToRoom(room, "said", { nick, text }, client.id) };
  });

  /** Sends to a nickname in any room. */
  server.rpc("whisper", v.object({ to: Name, text: Text }), ({ to, text }, { client }) => {
    if (client.data.nick === "") return error.permissionDenied("whisper before join");
    const target = server.connections.find((connection) => connection.data.nick === to);
    if (target === undefined) return error.notFound("Nickname", { identifier: to });
    target.send("whispered", { nick: client.data.nick, text });
    return { sent: true };
  });

  server.onClientDisconnect(({ data: { nick, room } }, reason) => {
    if (nick === "") return;
    console.log(`${nick} disconnected: ${reason.message}`);
    sendToRoom(room, "left", { nick });
  });
}
