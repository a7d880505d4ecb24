/** The password in all tests. Its bytes differ between encodings. */
export const PASSWORD = "päss wörd 🔑";
