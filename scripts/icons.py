"""Draw the icons of the installed page anew, from its mark; run after a change of ui/page/public/mark.svg."""

import asyncio
import re
import sys
from pathlib import Path

from playwright.async_api import async_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from chromium import FLAGS, chromium  # noqa: E402 - the tests know how to start a browser

PUBLIC = ROOT / "ui" / "page" / "public"
WHOLE = 'viewBox="0 0 32 32"'
# A launcher may cut a maskable icon down to the circle of 80 % around its middle.
PADDED = 'viewBox="-6 -6 44 44"'


async def main() -> None:
    """Render each icon as a page of its own size, with nothing behind it."""
    mark = (PUBLIC / "mark.svg").read_text()
    maskable = re.sub(
        r"<rect [^>]*fill", '<rect x="-6" y="-6" width="44" height="44" fill', mark.replace(WHOLE, PADDED)
    )
    icons = [("icon-192", 192, mark), ("icon-512", 512, mark), ("icon-maskable-512", 512, maskable)]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for name, size, drawing in icons:
            page = await browser.new_page(viewport={"width": size, "height": size})
            await page.set_content(f"<style>*{{margin:0}}svg{{display:block}}</style>{drawing}")
            picture = await page.screenshot(omit_background=True)
            (PUBLIC / f"{name}.png").write_bytes(picture)
            print(f"ui/page/public/{name}.png: {len(picture):,} bytes")
        await browser.close()


asyncio.run(main())
