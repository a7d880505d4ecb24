/** The password of all tests. Its bytes depend on the encoding. */
export const PASSWORD = "päss wörd 🔑";
