"""The screenshots of a folder as one picture with names: `python -m tests.bench.contact_sheet FOLDER OUT.webp`.

In: the PNG files that `drill_briefs` stores beside its `--out`. Out: a WebP of four columns, in the order of the names.
Not here: making screenshots (the builds do).
"""

from __future__ import annotations

import argparse
import base64
import html
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

WIDTH_PX = 1640
STYLE = """body {margin: 8px; display: grid; grid-template-columns: repeat(4, 1fr); gap: 8px; font: 14px sans-serif}
figure {margin: 0} img {width: 100%; height: 250px; object-fit: cover; object-position: top; border: 1px solid #999}"""


def sheet(pictures: list[Path]) -> str:
    """An HTML page with the pictures in a grid, each with its name below."""
    figures = (
        f'<figure><img src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}">'
        f"<figcaption>{html.escape(path.stem)}</figcaption></figure>"
        for path in pictures
    )
    return f"<!doctype html><style>{STYLE}</style>{''.join(figures)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    pictures = sorted(given.folder.glob("*.png"))
    if not pictures:
        parser.error(f"{given.folder} has no PNG files.")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": WIDTH_PX, "height": 100})
        page.set_content(sheet(pictures), wait_until="load")
        height = page.evaluate("document.documentElement.scrollHeight")
        whole = {"x": 0, "y": 0, "width": WIDTH_PX, "height": height, "scale": 1}
        asked = {"format": "webp", "quality": 60, "captureBeyondViewport": True, "clip": whole}
        taken = page.context.new_cdp_session(page).send("Page.captureScreenshot", asked)
        chromium.close()
    given.out.write_bytes(base64.b64decode(taken["data"]))


if __name__ == "__main__":
    main()
