import { browserStorage, ChatStore, createTransport } from '@headwater/client'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './app'
import { withFigures } from './figures'
import { withLogin } from './login'
import { renderPace } from './markdown/render-pace'
import './styles/tokens.css'
import './styles/page.css'
import './styles/chat.css'
import './styles/prose.css'

const base = document.baseURI
const key = `headwater.chat:${new URL('.', base).pathname}`
const transport = createTransport(base, withLogin(base))
const store = new ChatStore({
  ...withFigures(transport),
  // Each mount path has a chat of its own.
  storage: browserStorage(key),
  pace: renderPace,
})

// A phone may never fire unload: hiding is the last event that is certain to come.
window.addEventListener('pagehide', store.save)
document.addEventListener('visibilitychange', () => document.visibilityState === 'hidden' && store.save())
window.addEventListener('storage', (event) => event.key === key && store.reload())

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <App store={store} transport={transport} />
  </StrictMode>,
)
