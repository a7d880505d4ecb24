export const uncheckable: readonly { reason: string; sentences: readonly (readonly [string, string])[] }[] = [];
