// What the test of hostile Markdown does on the page: two functions, called by hostile_markdown.py.
({
  /** Prepares the page: whoever calls one of these functions is found out. */
  arm: () => {
    window.owned = []
    for (const name of ['alert', 'prompt', 'confirm', 'open']) window[name] = () => void window.owned.push(name)
    window.globals0 = new Set([...Object.getOwnPropertyNames(window), ...Object.getOwnPropertyNames(document), ...Object.getOwnPropertyNames(Document.prototype)])
    window.root0 = document.getElementById('root')
    return true
  },
  /** Asks for a case, waits at most `limit` ms until its answer is shown, and says what is wrong with it. */
  watch: async (name, limit) => {
    const deadline = performance.now() + limit
    const until = async (fact) => {
      while (!fact() && performance.now() < deadline) await new Promise((done) => setTimeout(done, 20))
      return fact()
    }
    const find = (id) => [...document.querySelectorAll(`[data-testid="${id}"]`)]
    const before = find('message-assistant').length
    await until(() => find('composer').length > 0 && !find('stop').length)
    find('composer')[0].focus()
    document.execCommand('insertText', false, name)
    await until(() => find('send').some((button) => !button.disabled))
    const began = performance.now()
    find('send')[0].click()
    const answers = () => find('message-assistant')
    const finished = await until(() => answers().length > before && answers().at(-1).dataset.state === 'finished')
    if (!finished) return { problems: ['not finished within the limit'], time: performance.now() - began }
    const answer = answers().at(-1)
    answer.scrollIntoView({ block: 'start' })
    await until(() => !answer.querySelector('.diagram[data-state=drawing]'))
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))
    const time = performance.now() - began
    const problems = []
    const forbidden = 'script, iframe, frame, frameset, object, embed, applet, form, base, style, link, meta, video, audio, template, dialog, portal, foreignObject, use, animate'
    for (const element of answer.querySelectorAll(forbidden)) problems.push(`element ${element.tagName}`)
    for (const element of answer.querySelectorAll('svg:not(.icon, .katex svg)')) problems.push(`svg ${element.outerHTML.slice(0, 80)}`)
    for (const element of answer.querySelectorAll('*')) {
      for (const { name, value } of element.attributes) {
        if (name.startsWith('on') || ['srcset', 'srcdoc', 'action', 'formaction', 'xlink:href', 'ping', 'background', 'name'].includes(name)) problems.push(`attribute ${name}`)
        if (name === 'id' && (window.globals0.has(value) || value === "root" || document.querySelectorAll(`[id="${CSS.escape(value)}"]`).length > 1)) problems.push(`id ${value}`)
        if (name === 'href' && !/^(https?:\/\/|mailto:|#)/i.test(value)) problems.push(`href ${value}`)
        if (name === 'href' && !value.startsWith('#') && element.rel !== 'noopener noreferrer') problems.push(`rel ${element.rel}`)
        if (name === 'src' && !/^(data:image\/(png|jpeg|gif|webp|avif);|blob:)/.test(value)) problems.push(`src ${value}`)
      }
      if (getComputedStyle(element).position === 'fixed') problems.push(`fixed ${element.tagName}`)
    }
    if (window.owned.length) problems.push(`a script called ${window.owned}`)
    if (document.getElementById('root') !== window.root0) problems.push('the root is another one')
    if (document.documentElement.scrollWidth > innerWidth) problems.push('wider than the window')
    if (find('composer').length !== 1) problems.push('the page is broken')
    return { problems, time }
  },
})
