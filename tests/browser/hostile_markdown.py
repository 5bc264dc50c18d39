"""Hostile Markdown: the cases in `hostile/`, a model that answers with them, and what the page may never do with one.

A `.txt` file holds cases behind lines `%% name`. `bombs.json` holds long ones: `before`, `part` × `times`, `after`, then
`again` × `times` and `last`; with `grow`, runs of `part` of 1, 2, … so many characters.
"""

import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

from headwater.events import Event, Finish, TextDelta
from headwater.prompt import Prompt, text_of

FOLDER = Path(__file__).parent / "hostile"
SIZE = 4000  # characters of a chunk: an answer arrives in pieces


def files() -> list[str]:
    """The names of the files with cases."""
    return sorted(file.name for file in FOLDER.iterdir())


def cases(file: str) -> dict[str, str]:
    """The cases of one file: their names and texts."""
    content = (FOLDER / file).read_text(encoding="utf-8")
    if file.endswith(".json"):
        return {bomb["name"]: _text(bomb) for bomb in json.loads(content)}
    pieces = [piece.partition("\n") for piece in f"\n{content}".split("\n%% ")[1:]]
    return {name.strip(): text for name, _, text in pieces}


def _text(bomb: dict[str, Any]) -> str:
    if grow := bomb.get("grow"):
        return " ".join(bomb["part"] * length for length in range(1, grow))
    body = bomb.get("before", "") + bomb["part"] * bomb["times"] + bomb.get("after", "")
    return body + bomb.get("again", "") * bomb["times"] + bomb.get("last", "")


class Hostile:
    """A model that answers the name of a case with its text."""

    name = "hostile"

    def __init__(self, cases: dict[str, str]) -> None:
        self._cases = cases

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """The text of the case that was asked for, in several pieces."""
        text = self._cases[text_of(prompt.messages[-1])]
        for at in range(0, len(text), SIZE):
            yield [TextDelta(text[at : at + SIZE])]
        yield [Finish("stop")]


ARM = """(() => {
  window.owned = []
  for (const name of ['alert', 'prompt', 'confirm', 'open']) window[name] = () => void window.owned.push(name)
  window.globals0 = new Set([...Object.getOwnPropertyNames(window), ...Object.getOwnPropertyNames(document), ...Object.getOwnPropertyNames(Document.prototype)])
  window.root0 = document.getElementById('root')
  return true
})()"""
"""Prepares the page: whoever calls one of these functions is found out."""

WATCH = """(async () => {
  const deadline = performance.now() + LIMIT
  const until = async (fact) => {
    while (!fact() && performance.now() < deadline) await new Promise((done) => setTimeout(done, 20))
    return fact()
  }
  const find = (id) => [...document.querySelectorAll(`[data-testid="${id}"]`)]
  const before = find('message-assistant').length
  await until(() => find('composer').length > 0 && !find('stop').length)
  find('composer')[0].focus()
  document.execCommand('insertText', false, NAME)
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
      if (name === 'href' && !/^(https?:\\/\\/|mailto:|#)/i.test(value)) problems.push(`href ${value}`)
      if (name === 'href' && !value.startsWith('#') && element.rel !== 'noopener noreferrer') problems.push(`rel ${element.rel}`)
      if (name === 'src' && !/^(data:image\\/(png|jpeg|gif|webp|avif);|blob:)/.test(value)) problems.push(`src ${value}`)
    }
    if (getComputedStyle(element).position === 'fixed') problems.push(`fixed ${element.tagName}`)
  }
  if (window.owned.length) problems.push(`a script called ${window.owned}`)
  if (document.getElementById('root') !== window.root0) problems.push('the root is another one')
  if (document.documentElement.scrollWidth > innerWidth) problems.push('wider than the window')
  if (find('composer').length !== 1) problems.push('the page is broken')
  return { problems, time }
})()"""
"""Asks for the case NAME, waits until its answer is shown, at most LIMIT ms, and says what is wrong with it."""


def watch(name: str, limit: float) -> str:
    """The expression that asks for a case and looks at its answer; `limit` is in seconds."""
    return WATCH.replace("NAME", json.dumps(name)).replace("LIMIT", str(limit * 1000))
