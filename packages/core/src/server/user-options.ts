/** Checks the options of users. */

import { rolesProblem, usernameProblem } from "../auth/user.ts";
import type { UserOptions } from "../auth/users.ts";
import { parseVerifier } from "../auth/verifier.ts";
import { OptionProblems } from "../endpoint/option-problems.ts";
import { isMap } from "../util/is-map.ts";

/** Paths of secrets in the option `users`. */
export const USER_SECRETS: readonly string[] = ["users.*.password", "users.*.verifier"];

const KNOWN: ReadonlySet<string> = new Set<keyof UserOptions>(["password", "verifier", "roles", "claims"]);

const VERIFIER_RULE = "a text made by scramVerifier(password)";

export function checkUsers(problems: OptionProblems, users: Readonly<Record<string, unknown>>): void {
  for (const [name, user] of Object.entries(users)) checkUser(problems, `users.${name}`, name, user);
}

/** @throws ConduitError INVALID_CONFIG */
export function parseUser(name: string, user: unknown): void {
  const problems = new OptionProblems("server.setUser()", [], USER_SECRETS);
  checkUser(problems, `users.${name}`, name, user);
  problems.throwIfAny();
}

/** Checks one user and its name. */
function checkUser(problems: OptionProblems, path: string, name: string, user: unknown): void {
  const nameProblem = usernameProblem(name);
  if (nameProblem !== null) {
    problems.add(path, `has a name that ${nameProblem}`, name);
    return;
  }
  if (!isMap(user)) {
    if (typeof user === "string" && parseVerifier(user) !== null) return;
    problems.addHidden(path, `must be ${VERIFIER_RULE}, or an object with password or verifier`, user);
    return;
  }
  const { password, verifier, roles, claims } = user;
  for (const [option, value] of Object.entries(user)) {
    if (!KNOWN.has(option))
      problems.addUnknown(
        `${path}.${option}`,
        value,
        [...KNOWN].map((known) => `${path}.${known}`),
      );
  }
  if ((password === undefined) === (verifier === undefined)) {
    problems.add(path, "must have either password or verifier", password === undefined ? "neither" : "both");
  }
  if (password !== undefined && (typeof password !== "string" || password === "")) {
    problems.add(`${path}.password`, "must be a non-empty string", password);
  }
  if (verifier !== undefined && parseVerifier(verifier) === null) {
    problems.add(`${path}.verifier`, `must be ${VERIFIER_RULE}`, verifier);
  }
  if (roles !== undefined) {
    const problem = rolesProblem(roles);
    if (problem !== null) problems.add(`${path}.roles`, problem, roles);
  }
  if (claims !== undefined && !isMap(claims)) problems.add(`${path}.claims`, "must be a plain object", claims);
}
