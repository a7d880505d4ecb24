/** Attacks before the login is complete. */
import { setTimeout as sleep } from "node:timers/promises";
import { ScramClient } from "../packages/core/src/test-support/scram-by-rfc.ts";
import { frame, Type } from "../packages/core/src/testing/raw-frames.ts";
import type { Attack, AttackContext } from "./lib/attack.ts";
import { PASSWORD } from "./lib/subject.ts";

/** An address of this machine that honest clients don't use. */
const ELSEWHERE = "127.0.0.2";

const info = { name: "attacker", version: "1.0.0" };
const request = (scram: ScramClient): Uint8Array =>
  frame(Type.AUTH_REQUEST, { client_info: info, scram: scram.clientFirst });

/** Starts `work` `perSecond` times per second without awaiting it. */
async function atRate(context: AttackContext, perSecond: number, work: () => Promise<void>): Promise<void> {
  const startedAt = performance.now();
  for (let begun = 0; !context.isStopped; ) {
    const due = ((performance.now() - startedAt) / 1000) * perSecond;
    for (; begun < due; begun += 1) work().catch(() => context.count("attempts that failed"));
    await sleep(1);
  }
}

/** Attempts a login with a wrong password, as this user or for the shared password. */
async function guess(context: AttackContext, localAddress?: string, name?: string): Promise<void> {
  const socket = await context.open(localAddress);
  const scram = new ScramClient("wrong", undefined, name);
  await socket.write(request(scram));
  const challenge = await socket.next(Type.AUTH_CHALLENGE);
  await socket.write(frame(Type.AUTH_RESPONSE, { data: scram.answer(challenge.payload?.["data"] as string) }));
  await socket.ended;
}

const users = { ada: { password: PASSWORD }, grace: { password: PASSWORD } };

/** Guesses passwords of Ada, or of a new name each time, while honest clients log in as `honestUser`. */
function guessing(what: string, honestUser: string, from: string | undefined, newName?: () => string): Attack {
  return {
    name: `wrong passwords of ${what}`,
    honest: "logins",
    honestUser,
    seconds: 6,
    server: { options: { users } },
    run: (context) => atRate(context, 20, () => guess(context, from, newName?.() ?? "ada")),
  };
}

function newNames(): () => string {
  let count = 0;
  return () => `nobody-${++count}`;
}

/** Keeps 1,000 sockets open that send nothing, and replaces closed ones. */
async function silent(context: AttackContext): Promise<void> {
  await context.againInParallel(1000, async () => {
    await (await context.open(ELSEWHERE)).ended;
  });
}

async function connects(context: AttackContext, perSecond: number): Promise<void> {
  await atRate(context, perSecond, async () => {
    await (await context.open(ELSEWHERE)).ended;
  });
}

export const loginAttacks: readonly Attack[] = [
  {
    name: "1,000 silent sockets",
    honest: "logins",
    run: silent,
  },
  {
    name: "15,000 connects a second",
    honest: "logins",
    run: (context) => connects(context, 15_000),
  },
  ...[100, 300].map(
    (roundTripMs): Attack => ({
      name: `15,000 connects a second; honest round trip ${roundTripMs} ms`,
      honest: "logins",
      roundTripMs,
      seconds: 6,
      run: (context) => connects(context, 15_000),
    }),
  ),
  {
    name: "2,500 connects a second; honest round trip 300 ms",
    honest: "logins",
    roundTripMs: 300,
    seconds: 6,
    run: (context) => connects(context, 2500),
  },
  {
    name: "1,000 silent sockets, TLS",
    honest: "logins",
    server: { tls: true },
    run: silent,
  },
  {
    name: "logins byte by byte, 500 sockets",
    honest: "logins",
    run: async (context) => {
      await context.againInParallel(500, async () => {
        const socket = await context.open(ELSEWHERE);
        for (const byte of request(new ScramClient(PASSWORD))) {
          await socket.write(Uint8Array.of(byte));
          await sleep(100);
        }
        await socket.ended;
      });
    },
  },
  {
    name: "wrong passwords, 20/s, from the honest clients' address",
    honest: "logins",
    seconds: 6,
    run: (context) => atRate(context, 20, () => guess(context)),
  },
  {
    name: "wrong passwords, 20/s, over the honest clients' Unix socket",
    honest: "logins",
    seconds: 6,
    server: { unix: true },
    run: (context) => atRate(context, 20, () => guess(context)),
  },
  {
    name: "wrong passwords, 500/s, from another address",
    honest: "logins",
    run: (context) => atRate(context, 500, () => guess(context, ELSEWHERE)),
  },
  guessing("a user, 20/s, from another address; the honest are this user", "ada", ELSEWHERE),
  guessing("a user, 20/s, from the honest clients' address; the honest are this user", "ada", undefined),
  guessing("a user, 20/s, from the honest clients' address; the honest are another user", "grace", undefined),
  guessing(
    "ever new names, 20/s, from the honest clients' address; the honest are a user",
    "ada",
    undefined,
    newNames(),
  ),
  {
    name: "replayed proofs, and proofs sent on other sockets",
    honest: "logins",
    run: (context) =>
      context.again(async () => {
        const scram = new ScramClient(PASSWORD);
        const [first, second] = [await context.open(ELSEWHERE), await context.open(ELSEWHERE)];
        await first.write(request(scram));
        await second.write(request(scram));
        const challenge = await first.next(Type.AUTH_CHALLENGE);
        const proof = frame(Type.AUTH_RESPONSE, { data: scram.answer(challenge.payload?.["data"] as string) });
        await second.next(Type.AUTH_CHALLENGE);
        await second.write(Buffer.concat([proof, proof]));
        await second.next(Type.AUTH_SUCCESS).then(
          () => context.count("REPLAY ACCEPTED"),
          () => context.count("replay refused"),
        );
        first.destroy();
        second.destroy();
      }, 50),
  },
  {
    name: "correct logins at the same time, 50 sockets, again and again",
    honest: "logins",
    run: async (context) => {
      await context.againInParallel(50, async () => {
        const socket = await context.logIn(ELSEWHERE);
        context.count("logged in");
        socket.destroy();
      });
    },
  },
  {
    name: "900 sockets at a server with 400 file descriptors",
    honest: "logins",
    descriptors: 400,
    seconds: 8,
    server: { options: { authTimeoutMs: 3000 } },
    run: async (context) => {
      await Promise.all(
        Array.from({ length: 900 }, () =>
          context.again(async () => {
            await (await context.open(ELSEWHERE)).ended;
          }, 100),
        ),
      );
    },
  },
];
