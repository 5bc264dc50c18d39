import { ChatStore, createTransport, type SavedChat } from '@headwater/client'

const inBrowser = typeof window !== 'undefined' // Next.js also runs this file on its server, to render the page

/** The chat of this tab. Session storage keeps it, so that a reload reads the running answer on. */
export const chat = new ChatStore({
  transport: createTransport(inBrowser ? window.location.origin : 'http://server.invalid'),
  storage: {
    load: () => (inBrowser ? (JSON.parse(sessionStorage.getItem('chat') ?? 'null') as SavedChat | null) : null),
    save: (saved) => sessionStorage.setItem('chat', JSON.stringify(saved)),
  },
})
