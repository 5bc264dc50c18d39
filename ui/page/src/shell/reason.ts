/** Why something went wrong, in the server's words where it has any. */
export function reasonOf(error: unknown): string {
  return error instanceof Error && error.name === 'ProblemError' ? error.message : ''
}
