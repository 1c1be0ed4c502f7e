"""The real page in a process of its own, for the tests that need one."""

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
START_SECONDS = 240  # importing torch on a busy machine


class Server(NamedTuple):
    """A running page: its address, its process, and the folder of its temporary files."""

    url: str
    process: subprocess.Popen
    files: Path


@contextmanager
def serve_page(home, variables, python=sys.executable):
    """Start the page on a free port, yield it as a `Server` when it answers, and stop it in the end.

    Args:
        home: an empty folder for its log and its temporary files.
        variables: its environment, to which the port and the folders are added.
        python: the interpreter to start it with.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    places = {"HOME": str(home), "GRADIO_TEMP_DIR": str(home / "files"), "GRADIO_SERVER_PORT": str(port)}
    url = f"http://127.0.0.1:{port}/"
    with open(home / "log.txt", "w") as log:
        process = subprocess.Popen(
            [python, "app.py"], cwd=ROOT, env=variables | places, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the page did not start:\n" + (home / "log.txt").read_text())
            time.sleep(0.2)
        yield Server(url, process, home / "files")
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
