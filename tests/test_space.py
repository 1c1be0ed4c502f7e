"""The page as a Hugging Face Space has it: requirements.txt alone, a Space's variables, and no network."""

import contextlib
import os
import re
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image
from server import serve_page

ROOT = Path(__file__).parents[1]

NO_NETWORK = """
import socket

def refuse(*address):
    raise OSError(f"no network, and yet {address} was asked for")

plain_connect, plain_lookup = socket.socket.connect, socket.getaddrinfo
LOCAL = {"127.0.0.1", "0.0.0.0", "localhost", "::1", None}

def connect(self, address):
    return plain_connect(self, address) if address[0] in LOCAL else refuse(address)

def lookup(host, *more, **options):
    return plain_lookup(host, *more, **options) if host in LOCAL else refuse(host)

socket.socket.connect, socket.getaddrinfo = connect, lookup
"""


def needed_by(requirements):
    """The installed distributions that these requirements ask for, and those that they ask for in turn."""
    found, waiting = {}, [Requirement(line) for line in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        extras = frozenset(requirement.extras)
        if name in found and extras <= found[name][1]:
            continue
        installed = distribution(name)
        found[name] = installed, extras | found.get(name, (None, frozenset()))[1]
        for line in installed.requires or []:
            other = Requirement(line)
            if not other.marker or any(other.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                waiting.append(other)
    return [installed for installed, _ in found.values()]


@pytest.fixture(scope="module")
def space_python(tmp_path_factory):
    """A Python that can import what requirements.txt asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("space")
    venv.create(folder, symlinks=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    for installed in needed_by((ROOT / "requirements.txt").read_text().split()):
        for name in {file.parts[0] for file in installed.files} - {"..", "__pycache__"}:
            with contextlib.suppress(FileExistsError):
                (packages / name).symlink_to(installed.locate_file(name))
    (packages / "sitecustomize.py").write_text(NO_NETWORK)
    return folder / "bin" / Path(sys.executable).name


@pytest.fixture(scope="module")
def space_url(space_python, tmp_path_factory):
    """The address of the page, started by that Python with the variables of a Space."""
    variables = {
        "PATH": os.environ["PATH"],
        "SYSTEM": "spaces",
        "SPACE_ID": "someone/faceinpaint",
        "SPACE_AUTHOR_NAME": "someone",
        "SPACE_REPO_NAME": "faceinpaint",
        "SPACE_HOST": "someone-faceinpaint.hf.space",
        "GRADIO_SERVER_NAME": "0.0.0.0",
    }
    with serve_page(tmp_path_factory.mktemp("home"), variables, space_python) as server:
        yield server.url


def test_the_clean_environment_is_clean(space_python):
    """Without this the next test could pass on what only a developer has."""
    found = subprocess.run(
        [space_python, "-c", "import gradio, cv2, timm, lpips, pytest"], capture_output=True, text=True
    )
    assert "No module named 'pytest'" in found.stderr


def test_the_readmes_first_snippet_restores_a_face(shipped, monkeypatch):
    (snippet,) = re.findall(r"```python\n(from PIL.*?)```", (ROOT / "README.md").read_text(), re.S)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("faceinpaint.FaceInpainter.from_pretrained", lambda: shipped)
    names = {}
    exec(snippet, names)
    photo, mask = (np.asarray(names[name]) for name in ("image", "mask"))
    restored = np.asarray(names["result"].image)
    assert (restored[mask > 0] != photo[mask > 0]).any(-1).mean() > 0.5
    haired = np.asarray(names["haired"].image)
    assert (haired != restored)[mask > 0].any()
    np.testing.assert_array_equal(haired[mask == 0], photo[mask == 0])


def test_the_readmes_snippet_restores_a_face_through_the_api(space_url, monkeypatch):
    """Photo and mask go in, the restored photo comes out, and around the hole it is as it was."""
    (snippet,) = re.findall(r"```python\n(from gradio_client.*?)```", (ROOT / "README.md").read_text(), re.S)
    address = "http://127.0.0.1:7860/"
    assert address in snippet
    monkeypatch.chdir(ROOT)
    names = {}
    exec(snippet.replace(address, space_url), names)
    restored, photo = (np.asarray(Image.open(names[name]).convert("RGB")) for name in ("restored", "photo"))
    mask = np.asarray(Image.open(names["mask"]).convert("L")) > 127
    assert (restored[mask] != photo[mask]).any(-1).mean() > 0.5
    np.testing.assert_array_equal(restored[~mask], photo[~mask])
    assert Image.open(names["layout"]).size == (256, 256)
    assert (np.asarray(Image.open(names["rendered"]).convert("RGB"))[~mask] == photo[~mask]).all()
