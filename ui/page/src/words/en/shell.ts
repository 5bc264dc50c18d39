/** Words of shell/. */
export const shell = {} as const satisfies Record<string, string | ((...values: never[]) => string)>
