/** Words of chat/. */
export const chat = {} as const satisfies Record<string, string | ((...values: never[]) => string)>
