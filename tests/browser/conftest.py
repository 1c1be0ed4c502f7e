import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
START_SECONDS = 180  # importing torch on a busy machine


@pytest.fixture(scope="session")
def page_url(tmp_path_factory):
    """The page, started as a user starts it, on a free port; its log is shown when it does not come up."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("page")
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(folder / "files")}
    url = f"http://127.0.0.1:{port}/"
    with open(folder / "log.txt", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail("the page did not start:\n" + (folder / "log.txt").read_text())
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


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
