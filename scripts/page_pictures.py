"""Pictures of the page of a running `mdth serve` for docs/page.md, by playwright and chromium.

python scripts/page_pictures.py http://127.0.0.1:8000 docs
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

EXAMPLES = Path(__file__).parents[1] / "src/mdth/examples"
SIZES = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1280, 900)}
CHROMIUM = "/usr/bin/chromium"
WAIT_MS = 240_000


def two_faces() -> dict[str, object]:
    """The portrait and its mirror image in one picture."""
    one = Image.open(EXAMPLES / "grace_hopper.jpg")
    two, file = Image.new("RGB", (2 * one.width, one.height)), io.BytesIO()
    two.paste(one, (0, 0))
    two.paste(one.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (one.width, 0))
    two.save(file, "JPEG", quality=95)
    return {"name": "two faces.jpg", "mimeType": "image/jpeg", "buffer": file.getvalue()}


def shoot(page: Page, folder: Path, part: str, *themes: str) -> None:
    """A picture at each size, in these themes."""
    for (size, (width, height)), theme in zip(SIZES.items(), themes, strict=True):
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=theme)
        if part == "dub":
            page.locator("#stage").evaluate("stage => stage.scrollIntoView({block: 'center'})")
        page.wait_for_timeout(800)
        shot = Image.open(io.BytesIO(page.screenshot()))
        shot.save(folder / f"page_{part}_{size}.webp", quality=70, method=6)


def main(address: str, folder: Path) -> None:
    """Fill in the form, make a video, dub a clip beside its original."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(locale="en-US")
        page.set_default_timeout(WAIT_MS)
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        page.set_input_files("#face-file", two_faces())
        page.wait_for_selector(".box")
        page.set_input_files("#voice-file", EXAMPLES / "short.wav")
        page.click("#amounts-step summary")
        page.check("#consent")
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        shoot(page, folder, "form", "light", "dark", "light")
        page.click("#make")
        page.wait_for_selector("#done:not([hidden])")
        page.set_input_files("#face-file", EXAMPLES / "clip.mp4")
        page.wait_for_selector(".box")
        page.click("#make")
        page.wait_for_selector("#done:not([hidden]) #compare:not([hidden])")
        page.click("#compare")
        shoot(page, folder, "dub", "dark", "light", "dark")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
