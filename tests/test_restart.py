"""A page that is stopped or killed while it works leaves nothing of its visitors."""

import os
import signal
import threading

import pytest
from raw_api import call, file, upload
from server import ROOT, serve_page

EXAMPLE = ROOT / "examples"


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def work(server):
    """Upload a photo and keep the model busy with it; returns the path of the photo on the server."""
    status, photo = upload(server.url, (EXAMPLE / "portrait.png").read_bytes(), "portrait.png")
    status, mask = upload(server.url, (EXAMPLE / "half-of-the-face.mask.png").read_bytes(), "mask.png")
    assert status == 200
    data = [file(photo), file(mask), False, 0, 1]
    threading.Thread(target=lambda: call(server.url, "restore", data), daemon=True).start()
    return photo


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # requests cut off
def test_nothing_of_visitors_outlives_the_page(tmp_path):
    with serve_page(tmp_path, dict(os.environ)) as server:
        photo = work(server)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(timeout=30)
        assert os.path.exists(photo)
    with serve_page(tmp_path, dict(os.environ)) as server:
        assert not os.path.exists(photo)
        photo = work(server)
        assert os.path.exists(photo)
        server.process.terminate()
        server.process.wait(timeout=30)
        assert not files_in(server.files)
