"""What stands inside an answer beside its text: code in colours, formulas, diagrams; in Chromium and Firefox."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from firefox import Firefox
from playwright.async_api import Page
from serving import headwater

from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted
from headwater.web.response import Pace

pytestmark = pytest.mark.browser

CODE = "```ts\n" + "export const answer: number = 42 // the answer\n" * 90 + "```\n\n"
FORMULAS = "It costs $5 and $6, and $E = mc^2$.\n\n\\[\n\\sqrt{a \\, b}\n\\]\n\nBroken: $\\foo{$.\n\n"
DIAGRAM = "```mermaid\nflowchart LR\n  A[Rain] --> B[Spring]\n```\n\nThe end.\n"
WIDE = "```\n" + "wide " * 60 + "\n```\n\n"

HELP = """(() => {
  window.until = async (fact, what) => {
    const limit = performance.now() + 10000
    for (let value; ; await new Promise((done) => setTimeout(done, 20))) {
      if ((value = fact())) return value
      if (performance.now() > limit) throw new Error('never was: ' + what)
    }
  }
  window.find = (id) => document.querySelector(`[data-testid="${id}"]`)
})()"""
ASK = """(async () => {
  await until(() => find('composer'), 'a composer')
  find('composer').focus()
  document.execCommand('insertText', false, 'Hello?')
  ;(await until(() => find('send')?.disabled === false && find('send'), 'send')).click()
  return true
})()"""
GEOMETRY = """(() => {
  const code = find('message-assistant').querySelector('pre')
  const { x, width, height } = code.getBoundingClientRect()
  return [x, width, height, code.textContent]
})()"""
PLAIN = """until(() => find('message-assistant')?.querySelector('pre')?.textContent.split('\\n').length > 90, 'code')
  .then(() => find('message-assistant').querySelectorAll('code span[class^=t-]').length)"""
COLOURED = """until(() => document.querySelectorAll('code .t-keyword').length >= 180, 'colours').then(() => true)"""
# The button is in sight, and nothing lies over it, while the middle of the block is looked at.
COPY_IN_SIGHT = """(async () => {
  const block = document.querySelector('figure.code')
  window.scrollTo(0, block.getBoundingClientRect().top + scrollY + 700)
  const copy = [...block.querySelectorAll('[role=toolbar] button')].at(-1)
  return until(() => {
    const { x, y, width, height } = copy.getBoundingClientRect()
    return copy.contains(document.elementFromPoint(x + width / 2, y + height / 2))
  }, 'the copy button in sight')
})()"""
FORMULA = """until(() => document.querySelectorAll('.formula[data-state]').length === 3, 'formulas').then(() => ({
  text: find('message-assistant').innerText,
  set: document.querySelectorAll('.formula[data-state=shown] .katex').length,
  broken: document.querySelector('.formula[data-state=failed]').textContent }))"""
DRAWN = """(async () => {
  const diagram = document.querySelector('.diagram')
  diagram.scrollIntoView({ block: 'center' })
  const before = diagram.getBoundingClientRect().height
  await until(() => diagram.dataset.state === 'drawn' && diagram.querySelector('img').complete, 'a drawing')
  const { src, naturalWidth } = diagram.querySelector('img')
  return [new URL(src).protocol, naturalWidth > 0, diagram.getBoundingClientRect().height === before]
})()"""
STOPS = """[...document.querySelectorAll('figure.code')].map((block) =>
  [...block.querySelectorAll('button, pre, [tabindex]')].filter((element) => element.tabIndex === 0).length)"""

Evaluate = Callable[[str], Awaitable[Any]]


async def look(goto: Callable[[str], Awaitable[object]], evaluate: Evaluate) -> None:
    """Watch an answer come, first its code without the end of the fence, and look at everything in it."""
    closing, rest = asyncio.Event(), asyncio.Event()
    text = CODE.removesuffix("```\n\n")
    script = [
        TextDelta(text),
        closing,
        TextDelta("```\n\n"),
        rest,
        TextDelta(FORMULAS + WIDE + DIAGRAM),
        Finish("stop"),
    ]
    async with headwater(Scripted(script), pace=Pace(hold=0.02)) as server:
        await goto(str(server.client.base_url))
        await evaluate(HELP)
        await evaluate(ASK)
        assert await evaluate(PLAIN) == 0
        *place, code = await evaluate(GEOMETRY)
        closing.set()
        assert await evaluate(COLOURED)
        *coloured, same = await evaluate(GEOMETRY)
        assert coloured == place
        assert same.rstrip("\n") == code.rstrip("\n")
        rest.set()
        assert await evaluate(COPY_IN_SIGHT)
        formula = await evaluate(FORMULA)
        assert "It costs $5 and $6, and " in formula["text"]
        assert formula["set"] == 2
        assert formula["broken"] == "$\\foo{$"
        assert await evaluate(DRAWN) == ["blob:", True, True]
        # One stop of the Tab key for a toolbar, another where a block scrolls: not one for each button.
        assert await evaluate(STOPS) == [1, 2, 1]


async def test_chromium_shows_code_formulas_and_diagrams(page: Page) -> None:
    """Colours move nothing, the copy button stays in sight, prices are no formulas, diagrams are images."""
    await look(page.goto, page.evaluate)


async def test_firefox_shows_code_formulas_and_diagrams(firefox: Firefox) -> None:
    """As in Chromium."""
    await look(firefox.goto, firefox.evaluate)
