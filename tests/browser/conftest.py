import os
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from server import serve_page

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def page_url(tmp_path_factory):
    """The page, started as a user starts it."""
    with serve_page(tmp_path_factory.mktemp("page"), dict(os.environ)) as server:
        yield server.url


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} is missing")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def drawn_face(tmp_path_factory):
    """An aligned face drawn for the tests, as a PNG file: no photo is needed, so no face has to be found."""
    picture = Image.new("RGB", (300, 300), (96, 128, 150))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((50, 10, 250, 320), fill=(70, 45, 30))
    draw.ellipse((75, 50, 225, 280), fill=(222, 176, 148))
    for left in (100, 165):
        draw.ellipse((left, 130, left + 36, 148), fill="white")
        draw.ellipse((left + 11, 131, left + 26, 147), fill=(60, 40, 30))
        draw.line((left - 3, 118, left + 38, 114), fill=(70, 45, 30), width=6)
    draw.polygon([(150, 140), (134, 196), (166, 196)], fill=(200, 150, 124))
    draw.ellipse((116, 216, 184, 240), fill=(190, 80, 84))
    path = tmp_path_factory.mktemp("photo") / "face.png"
    picture.save(path)
    return path
