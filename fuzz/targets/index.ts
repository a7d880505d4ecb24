import type { Target } from "../lib/target.ts";
import { decoder } from "./decoder.ts";
import { login } from "./login.ts";
import { session, streams } from "./session.ts";

export { planted } from "./planted.ts";

export const targets: readonly Target[] = [decoder, login, session, streams];
