"""Many visitors at once, through the API. `pytest tests/test_load.py --visitors 20 --load-seconds 180`."""

import os
import threading
import time

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image
from server import serve_page

MEMORY_GROWTH = 200e6  # bytes


@pytest.fixture
def server(tmp_path):
    with serve_page(tmp_path, dict(os.environ)) as server:
        yield server


def resident_bytes(process):
    with open(f"/proc/{process.pid}/status") as status:
        (line,) = (line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


class Visitor(threading.Thread):
    """Restores and renders a picture of its own, over and over, and checks that it gets its own back."""

    def __init__(self, url, number, folder, until):
        super().__init__(daemon=True)
        self.url, self.until = url, until
        self.photo, self.mask = folder / f"photo{number}.png", folder / f"mask{number}.png"
        rng = np.random.default_rng(number)
        pixels = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((32, 32, 1))).astype(np.uint8)
        Image.fromarray(pixels).save(self.photo)
        self.known = np.ones((256, 256), bool)
        self.known[64:160, 32 * (number % 4) : 32 * (number % 4) + 96] = False
        Image.fromarray(~self.known).save(self.mask)
        self.pixels = pixels
        self.waits, self.failures = [], []

    def run(self):
        try:
            client = Client(self.url, verbose=False)
            while time.monotonic() < self.until:
                files = handle_file(self.photo), handle_file(self.mask)
                restored, layout = self.ask(client, *files, api_name="/restore")
                rendered = self.ask(client, *files, handle_file(layout), api_name="/render_layout")
                for path in (restored, rendered):
                    picture = np.asarray(Image.open(path).convert("RGB"))
                    np.testing.assert_array_equal(picture[self.known], self.pixels[self.known])
        except Exception as error:  # told by the test, which fails
            self.failures.append(error)

    def ask(self, client, *arguments, api_name):
        started = time.monotonic()
        answer = client.predict(*arguments, align=False, seed=0, api_name=api_name)
        self.waits.append(time.monotonic() - started)
        return answer


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is read from /proc")
def test_visitors_share_nothing_and_leave_no_memory_behind(server, request, tmp_path):
    options = request.config.getoption
    for _ in range(2):  # the first round only warms up
        until = time.monotonic() + options("--load-seconds")
        visitors = [Visitor(server.url, i, tmp_path, until) for i in range(options("--visitors"))]
        before = resident_bytes(server.process)
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join()
        assert not [failure for visitor in visitors for failure in visitor.failures]
    waits = [wait for visitor in visitors for wait in visitor.waits]
    growth = resident_bytes(server.process) - before
    print(
        f"{len(visitors)} visitors, {len(waits)} requests, 95% waited less than "
        f"{np.percentile(waits, 95):.1f} s, memory grew by {growth / 1e6:.0f} MB"
    )
    assert growth < MEMORY_GROWTH
