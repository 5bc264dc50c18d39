/** Words of markdown/. */
export const markdown = {} as const satisfies Record<string, string | ((...values: never[]) => string)>
