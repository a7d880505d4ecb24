/** Both ends' password in every test: its bytes differ between encodings. */
export const PASSWORD = "päss wörd 🔑";
