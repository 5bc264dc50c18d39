import type { Answer, LogDescription, Transport } from '@headwater/client'

/** Fetches the server's own figures for answers that have ended; an answer without them is still an answer. */
export function figuresFrom(transport: Transport): (answer: Answer) => Promise<Partial<Answer>> {
  return async ({ location, message }) => {
    const { timing, usage } = await transport.get<LogDescription>(location!)
    return { timing, message: { ...message, usage: message.usage ?? usage } }
  }
}
