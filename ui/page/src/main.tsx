import { createTransport } from '@headwater/client'
import { createConversations } from '@headwater/client/conversations'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './app'
import { connectFollower } from './follow'
import { withLogin } from './login'
import { renderPace } from './markdown/render-pace'
import { root } from './shell/address'
import { languagePreference, speak } from './words/language'
import './styles/code.css'
import './styles/tokens.css'
import './styles/page.css'
import './styles/start.css'
import './styles/sidebar.css'
import './styles/chat.css'
import './styles/composer.css'
import './styles/prose.css'

const base = root().href
const fetch = withLogin(base)
const transport = createTransport(base, fetch)
// The page of an earlier version kept its one chat under this key.
const oneChat = `headwater.chat:${root().pathname}`
const conversations = createConversations({ base, fetch, transport, connect: connectFollower, oneChat, pace: renderPace })

void speak(languagePreference.get()).then((spoken) =>
  createRoot(document.getElementById('root')!).render(
    <StrictMode>
      <App conversations={conversations} transport={transport} spoken={spoken} />
    </StrictMode>,
  ),
)

// Without a build there is no list of what to keep for a visit without a network.
if (import.meta.env.PROD && 'serviceWorker' in navigator) {
  // A browser that forbids it, or a plain-http address, has the page as before.
  void navigator.serviceWorker.register(new URL('sw.js', base)).catch(() => undefined)
}
