import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import faceinpaint
from faceinpaint.checkpoint import load_network, save_network, weights_sha256
from faceinpaint.modeling.face_prior import FacePrior
from faceinpaint.modeling.face_upsampler import FaceUpsampler
from faceinpaint.modeling.frame_regressor import FrameRegressor
from faceinpaint.modeling.layout_generator import LayoutGenerator
from faceinpaint.modeling.texture_generator import TextureGenerator

PACKAGE = Path(faceinpaint.__file__).parent

NETWORKS = {
    "face_prior": (FacePrior, {"components": 6, "size": 8}),
    "frame_regressor": (FrameRegressor, {"channels": [8, 8, 8, 8], "width": 8, "size": 64}),
    "layout_generator": (LayoutGenerator, {"channels": [8, 8, 16, 16], "depth": 1, "heads": 2, "size": 64}),
    "texture_generator": (TextureGenerator, {"channels": [8, 8, 16, 16], "depth": 1, "heads": 4, "size": 64}),
    "face_upsampler": (FaceUpsampler, {"channels": 8, "depth": 1}),
}


@pytest.fixture(scope="module")
def networks(shake, low_rank_pictures):
    """Tiny networks of every kind with the arguments that they were built with."""
    torch.manual_seed(0)
    built = {name: (shake(kind(**arguments)), arguments) for name, (kind, arguments) in NETWORKS.items()}
    built["face_prior"][0].fit(low_rank_pictures(40, 8))
    return built


@pytest.fixture
def folder(tmp_path, networks):
    for name, (network, arguments) in networks.items():
        save_network(tmp_path / "tiny", name, network, arguments)
    return tmp_path / "tiny"


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_survives_half_precision(folder, networks, name):
    saved, loaded = networks[name][0].state_dict(), load_network(folder, name)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    for key, value in loaded.state_dict().items():
        assert value.dtype == saved[key].dtype
        assert torch.allclose(value, saved[key], rtol=1e-3, atol=1e-6), key


def test_only_safetensors_in_half_precision_and_json_are_written(folder):
    files = sorted(path.name for path in folder.iterdir())
    assert files == sorted(f"{name}.{kind}" for name in NETWORKS for kind in ("json", "safetensors"))
    with safe_open(folder / "layout_generator.safetensors", "pt") as file:
        dtypes = {file.get_tensor(key).dtype for key in file.keys()}  # noqa: SIM118
    assert dtypes == {torch.float16, torch.int64}


@pytest.mark.parametrize("kind", ["json", "safetensors"])
def test_a_missing_file_is_named(folder, kind):
    (folder / f"layout_generator.{kind}").unlink()
    with pytest.raises(ValueError, match=rf"{folder}/layout_generator\.{kind} is missing"):
        load_network(folder, "layout_generator")


def test_a_plain_install_says_where_its_weights_are(monkeypatch, tmp_path):
    monkeypatch.setattr("faceinpaint.checkpoint.SHIPPED", tmp_path / "site-packages" / "checkpoints")
    with pytest.raises(ValueError, match="run in the project's folder, install it with pip install -e"):
        load_network(None, "layout_generator")


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"chanels": [1]}', '{"channels": [8, 8]}'])
def test_a_configuration_that_describes_nothing_is_named(folder, text):
    (folder / "texture_generator.json").write_text(text)
    with pytest.raises(ValueError, match=r"texture_generator\.json does not describe a texture generator"):
        load_network(folder, "texture_generator")


def test_weights_of_another_shape_are_named(folder):
    path = folder / "layout_generator.json"
    path.write_text(path.read_text().replace("64", "128"))
    with pytest.raises(ValueError, match=r"layout_generator\.safetensors is damaged or does not hold"):
        load_network(folder, "layout_generator")


def test_weights_of_another_network_are_named(folder):
    (folder / "face_prior.safetensors").replace(folder / "layout_generator.safetensors")
    with pytest.raises(ValueError, match=r"layout_generator\.safetensors is damaged or does not hold"):
        load_network(folder, "layout_generator")


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.99])
def test_truncated_weights_are_named(folder, share):
    path = folder / "face_prior.safetensors"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"face_prior\.safetensors is damaged or does not hold"):
        load_network(folder, "face_prior")


def test_the_digest_tells_weights_apart(folder, networks):
    before = weights_sha256(folder)
    assert re.fullmatch("[0-9a-f]{64}", before)
    assert weights_sha256(folder) == before
    network, arguments = networks["layout_generator"]
    other = LayoutGenerator(**arguments)
    other.load_state_dict(network.state_dict())
    other.head.bias.data[7] += 0.1
    save_network(folder, "layout_generator", other, arguments)
    assert weights_sha256(folder) != before


def test_what_is_neither_a_folder_nor_a_repository():
    with pytest.raises(ValueError, match="neither a folder nor the name of a Hub repository"):
        load_network("no/such/folder", "face_prior")


class StandIn(http.server.BaseHTTPRequestHandler):
    """Answers as the Hub does for the files of one repository."""

    def do_HEAD(self):  # noqa: N802
        self.answer(with_body=False)

    def do_GET(self):  # noqa: N802
        self.answer(with_body=True)

    def answer(self, with_body):
        self.server.asked.append(f"{self.command} {self.path}")
        start = "/someone/faces/resolve/main/"
        file = self.server.folder / self.path.removeprefix(start).removeprefix(
            f"/someone/faces/resolve/{'c' * 40}/"
        )
        found = self.path.startswith("/someone/faces/") and file.is_file()
        body = file.read_bytes() if found else b""
        self.send_response(200 if found else 404)
        self.send_header("X-Repo-Commit", "c" * 40)
        if found:
            self.send_header("ETag", f'"{file.name}"')
        else:
            known = self.path.startswith("/someone/faces/")
            self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


SCRIPT = """
import json, sys
from faceinpaint import FaceInpainter
answers = []
for repository in sys.argv[1:]:
    try:
        answers.append(FaceInpainter.from_pretrained(repository, device="cpu").weights_sha256)
    except ValueError as error:
        answers.append(str(error))
print(json.dumps(answers))
"""


def load_from_hub(endpoint, home, *repositories):
    """What `from_pretrained` says to each repository id, in a process of its own whose Hub is `endpoint`."""
    environment = os.environ | {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "FACEINPAINT_YUNET": "/nowhere",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *repositories],
        cwd=PACKAGE.parent, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_hub_repository(folder, tmp_path):
    # A stand-in for the Hub on this machine, so that the real loading code runs without a network.
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    server.folder, server.asked = folder, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        answers = load_from_hub(endpoint, tmp_path / "home", "someone/faces", "someone/else")
        assert answers[0] == weights_sha256(folder)
        assert re.match(r"The file \S+ could not be had from the Hub repository someone/else\.", answers[1])
        assert any(line.startswith("GET") and line.endswith("face_prior.json") for line in server.asked)
    finally:
        server.shutdown()
        server.server_close()
    # Now the Hub is gone: what was loaded once comes from the cache, the rest is a clear sentence.
    answers = load_from_hub(endpoint, tmp_path / "home", "someone/faces", "someone/else")
    assert answers[0] == weights_sha256(folder)
    assert "could not be had from the Hub repository someone/else" in answers[1]


def test_no_pickle_is_read_or_written_anywhere():
    offences = re.compile(r"\bc?pickle\b|\btorch\.(load|save)\b|\bjoblib\b|\bdill\b|allow_pickle|\bmarshal\b")
    sources = [*PACKAGE.rglob("*.py"), PACKAGE.parent / "app.py"]
    assert len(sources) > 20
    for path in sources:
        assert not offences.search(path.read_text()), path


def test_the_shipped_weights_are_small(shipped):
    from faceinpaint.checkpoint import SHIPPED

    assert sum(path.stat().st_size for path in SHIPPED.glob("*.safetensors")) <= 48e6
    assert shipped.weights_sha256 == weights_sha256(None)
