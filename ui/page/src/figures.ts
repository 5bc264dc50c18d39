import type { ChatOptions, LogDescription, Transport } from '@headwater/client'

/** What the page shows beside an answer, added to the chat of a transport: how fast it came, and how old it is. */
export function withFigures(transport: Transport): Pick<ChatOptions, 'transport' | 'onEnded'> {
  const produced = new Map<string, number>()
  return {
    transport: {
      ...transport,
      async ask(prompt, options) {
        const attachment = await transport.ask(prompt, options)
        const age = attachment.response.headers.get('Age')
        // Only an answer from the cache has an age.
        if (age !== null) produced.set(attachment.location, Date.now() - Number(age) * 1000)
        return attachment
      },
    },
    async onEnded({ location, message }) {
      const producedAt = produced.get(location!) ?? null
      // An answer without figures is still an answer.
      const log = await transport.get<LogDescription>(location!).catch(() => null)
      return { producedAt, timing: log?.timing ?? null, message: { ...message, usage: message.usage ?? log?.usage ?? null } }
    },
  }
}
