"""Take a picture of a report as Chromium shows it.

python scripts/screenshot.py PAGE.html PICTURE.png [--width 1280] [--height 900] [--dark]
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

_ARGUMENTS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--disable-background-networking", "--no-first-run"]
_SETTLED = 6_000  # milliseconds until surfaces are drawn without a GPU


def main() -> None:
    """Open the page and take the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--dark", action="store_true")
    asked = parser.parse_args()
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        parser.error("no Chromium is installed; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        size = {"width": asked.width, "height": asked.height}
        page = browser.new_page(viewport=size, color_scheme="dark" if asked.dark else "light")  # type: ignore[arg-type]
        page.goto(asked.page.resolve().as_uri())
        page.wait_for_timeout(_SETTLED)
        page.screenshot(path=str(asked.picture))
        browser.close()


if __name__ == "__main__":
    main()
