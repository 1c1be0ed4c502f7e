"""What the page takes, refuses and leaves behind, asked as any program can; `--fuzz 1000` asks more."""

import io
import json
import logging
import random
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from raw_api import SECONDS, call, file, join, press, send, upload
from test_app import FakeInpainter

ROOT = Path(__file__).parents[1]
UPLOAD_BYTES = 1_000_000  # what a visitor may upload here, less than on the real page so as to be tried
LEFT_BYTES = 1_000_000  # what all malformed requests together may leave
NAME = "Ada's secret portrait.png"

PRIVATE_URLS = [
    "http://127.0.0.1:{port}/config",
    "http://localhost:{port}/config",
    "http://2130706433:{port}/config",  # 127.0.0.1 as one number
    "http://[::1]:{port}/config",
    "http://169.254.169.254/latest/meta-data",
    "http://10.0.0.1/",
]


def png(width=40, height=30):
    """A file of coloured squares, up to 8 pixels wide."""
    squares = np.random.default_rng(0).integers(0, 256, (-(-height // 8), -(-width // 8), 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(squares.repeat(8, 0).repeat(8, 1)[:height, :width]).save(data, "PNG")
    return data.getvalue()


def serve(app, folder, **changes):
    """Start the page in this process, with a model that only fills; the same folder for all its files."""
    with pytest.MonkeyPatch.context() as patch:
        model = FakeInpainter()
        for name, value in {
            "load_inpainter": lambda: model,
            "MAX_FILE_BYTES": UPLOAD_BYTES,
            **changes,
        }.items():
            patch.setattr(app, name, value)
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        page = app.Page()
        page.launch(prevent_thread_lock=True, quiet=True)
        yield SimpleNamespace(url=page.blocks.local_url, page=page, folder=folder, model=model)
        page.blocks.close()


@pytest.fixture(scope="module")
def server(app, tmp_path_factory):
    yield from serve(app, tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def photo(server):
    status, path = upload(server.url, png(), NAME)
    assert status == 200
    return path


@pytest.fixture
def failing(server):
    """Let the model raise an error, once this is called with one, until the test ends."""
    yield lambda error: setattr(server.model, "error", error)
    server.model.error = None


def restore(server, photo):
    return call(server.url, "restore", [file(photo), file(photo), False, 0, 1])


def fully_restored(server, photo):
    """The attempt of a visitor of the page, whose session's name is returned."""
    session, painting = "a-visit", {"background": file(photo), "layers": [file(photo)], "composite": None}
    assert press(server.url, server.page, server.page.upload, "input", [file(photo)], session).done
    answer = press(
        server.url, server.page, server.page.restore, "click", [None, painting, False, 0, 2], session
    )
    assert answer.done
    return session


def files(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


class TestFiles:
    """What is on the server and around it stays there."""

    PATHS = ["/etc/passwd", "app.py", "examples/portrait.png", str(ROOT / "examples/portrait.png")]
    SHAPES = {"marked as a file": file, "only a path": lambda path: {"path": path}}

    def ways_in(self, server, value, photo):
        page, ask = server.page, lambda *request: press(server.url, server.page, *request)
        yield call(server.url, "predict_layout", [value, file(photo), False])
        yield call(server.url, "predict_layout", [file(photo), value, False])
        yield ask(page.upload, "input", [value])
        yield ask(page.restore, "click", [None, {"background": value, "layers": []}, False, 0, 1])
        yield ask(page.restore, "click", [None, {"background": file(photo), "layers": [value]}, False, 0, 1])
        yield ask(page.mask_upload, "upload", [None, value])

    def refused_everywhere(self, server, value, photo):
        before = files(server.folder)
        for answer in self.ways_in(server, value, photo):
            assert not answer.done and "cannot be read" in answer.value
        kept = {path.read_bytes() for path in files(server.folder) - before}
        assert kept <= {b"", Path(photo).read_bytes()}

    def test_the_ways_in_are_open_for_uploaded_files(self, server, photo):
        session = fully_restored(server, photo)
        assert press(
            server.url, server.page, server.page.mask_upload, "upload", [None, file(photo)], session
        ).done
        assert call(server.url, "predict_layout", [file(photo), file(photo), False]).done

    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("path", [*PATHS, "{folder}/../portrait.png"])
    def test_no_file_of_the_server_can_be_named(self, server, photo, path, shape):
        (server.folder.parent / "portrait.png").write_bytes(png())
        self.refused_everywhere(server, self.SHAPES[shape](path.format(folder=server.folder)), photo)

    @pytest.mark.parametrize("url", PRIVATE_URLS)
    def test_no_address_in_a_private_network_is_fetched(self, server, photo, url):
        url = url.format(port=server.url.split(":")[-1].strip("/"))
        assert send(f"{server.url}gradio_api/file={url}")[0] == 403
        self.refused_everywhere(server, file(url), photo)

    @pytest.mark.parametrize("path", [*PATHS, ".git/config", "checkpoints/face_prior.json"])
    def test_the_file_route_serves_only_what_was_made_for_visitors(self, server, path):
        for way_up in ("", "../../../../../../../..", "/..//../", str(server.folder) + "/../../../../../"):
            for way in (way_up + path, (way_up + path).replace("/", "%2F").replace(".", "%2e")):
                for route in ("file=", "file/"):
                    assert send(f"{server.url}gradio_api/{route}{way}")[0] in (403, 404)

    def test_files_are_served_under_names_that_cannot_be_guessed(self, app, server, photo):
        """An upload's is the hash of its content, a result's is random, and no folder is listed."""
        made = restore(server, photo).value[0]["path"]
        folders = [Path(made).parent, app.temporary_file("a").parent, Path(photo).parent]
        assert len({folder.name for folder in folders}) == 3
        assert all(len(folder.name) >= 32 for folder in folders)
        # Nor do two that are made one after the other resemble each other, as times and counters do.
        assert folders[0].name[:8] != folders[1].name[:8]
        for folder in (server.folder, *folders):
            assert send(f"{server.url}gradio_api/file={folder}")[0] == 403

    def test_a_file_over_the_limit_is_refused_and_not_kept(self, app, server):
        before = files(server.folder)
        status, answer = upload(server.url, b"x" * (UPLOAD_BYTES + 100_000))
        assert status == 413 and "maximum" in answer
        assert sum(path.stat().st_size for path in files(server.folder) - before) == 0


class TestFailures:
    """A failing worker tells the visitor so, kindly, and works for the next one."""

    @pytest.mark.parametrize(
        "error",
        [
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
            RuntimeError("CUDA error: an illegal memory access was encountered"),
            MemoryError(),
            FloatingPointError("a network's output is not finite"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_the_next_request_works(self, server, photo, failing, error):
        failing(error)
        answer = restore(server, photo)
        assert not answer.done and answer.value.startswith("Something broke on our side. Please try again")
        failing(None)
        assert restore(server, photo).done

    def test_the_sentence_names_the_request_that_the_log_tells_of(self, server, photo, failing, caplog):
        failing(RuntimeError("CUDA out of memory"))
        answer = restore(server, photo)
        (record,) = (record for record in caplog.records if record.levelno >= logging.ERROR)
        request = record.getMessage().split()[1]
        assert f"(Request {request}.)" in answer.value and len(request) == 8
        assert "CUDA out of memory" in record.getMessage() and "in use_model" in record.getMessage()

    @pytest.mark.parametrize("error", [KeyError, OSError, TypeError])
    def test_nothing_of_a_visitor_is_logged(self, server, photo, failing, caplog, capfd, error):
        failing(error(f"cannot do it with {photo}"))
        assert not restore(server, photo).done
        # Nor where Gradio itself fails, with what it reads or with what happened on the page.
        call(server.url, "restore", [file(photo), file(photo), False, NAME, 1])
        press(server.url, server.page, server.page.attempts, "select", [None], event_data=NAME)
        logged = caplog.text + "".join(capfd.readouterr())
        assert error.__name__ in logged
        assert "secret" not in logged and Path(photo).parent.name not in logged


class TestMalformedRequests:
    """Each is answered in time and with a sentence, and the page goes on."""

    def values(self, photo, wide):
        good = file(photo)
        return [
            *("NaN", "Infinity", "-Infinity", "1e400", "1e300", "-5", "0.5", "null", "true", '"x"', '""'),
            *("[]", "{}", "[[1, 2], [3]]", "[NaN]", "99999999999999999999", '"\\u0000"', '{"path": null}'),
            *map(
                json.dumps,
                (
                    good,
                    [good],
                    {"path": photo},
                    good | {"size": "x"},
                    good | {"path": photo + "\0"},
                    good | {"path": photo * 100},
                    {"background": good},
                    {"background": good, "layers": None},
                    {"background": good, "layers": [None]},
                    {"background": good, "layers": [good], "composite": good},
                    {"background": file(wide), "layers": [good]},
                    {"background": None, "layers": [good]},
                    {"layers": [good]},
                    {"background": "data:image/png;base64,AAAA", "layers": []},
                ),
            ),
        ]

    def test_are_answered_with_a_sentence(self, server, photo, request, caplog):
        caplog.set_level(logging.CRITICAL, "faceinpaint.page.errors")
        rng = random.Random(0)
        status, wide = upload(server.url, png(512, 512))
        values = self.values(photo, wide)
        session = fully_restored(server, photo)
        numbers = [number for number, fn in server.page.blocks.fns.items() if fn.fn]
        before, outcomes = files(server.folder), []
        for _ in range(request.config.getoption("--fuzz") // 4):
            fn = server.page.blocks.fns[rng.choice(numbers)]
            count = len(fn.inputs) + rng.choice((0, 0, 0, 0, -1, 1))
            data = ", ".join(rng.choice(values) for _ in range(count))
            body = f'{{"fn_index": {fn._id}, "session_hash": "{session}", "data": [{data}]}}'
            started = time.monotonic()
            answer = join(server.url, session, body.encode())
            assert time.monotonic() - started < SECONDS
            outcomes.append(answer.done)
            sentence = answer.value
            assert answer.done or (sentence.endswith((".", ".)")) and "Traceback" not in sentence), body
        assert 0 < np.mean(outcomes) < 0.9
        assert restore(server, photo).done
        left = sum(path.stat().st_size for path in files(server.folder) - before)
        print(f"{len(outcomes)} requests left {left / 1e3:.0f} kB")
        assert left < LEFT_BYTES

    def test_a_visit_that_the_server_has_forgotten_is_told_so(self, server):
        for button in (server.page.others, server.page.make_files, server.page.clear):
            answer = press(server.url, server.page, button, "click", [None])
            assert not answer.done and "Please reload it" in answer.value

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b'{"data": null}', b"\xff\xfe", b'{"data": [' + b"[" * 9999]
    )
    def test_what_is_no_request_is_refused(self, server, body):
        assert 400 <= call(server.url, "restore", body).status < 500

    @pytest.mark.parametrize("size", [(256, 256), (512, 513), (16, 16)])
    def test_a_layout_of_another_size_is_refused(self, server, photo, size):
        session = fully_restored(server, photo)
        status, other = upload(server.url, png(*size))
        status, layout = upload(server.url, png(512, 512))
        for background, layers in ((other, []), (layout, [file(other)])):
            painting = {"background": file(background), "layers": layers}
            answer = press(
                server.url, server.page, server.page.render, "click", [None, painting, 0, 1, False], session
            )
            assert not answer.done and "512 x 512" in answer.value

    def test_foreign_colours_of_a_layout_are_read_as_the_nearest(self, server, photo):
        session = fully_restored(server, photo)
        status, layout = upload(server.url, png(512, 512))
        painting = {"background": file(layout), "layers": []}
        assert press(
            server.url, server.page, server.page.render, "click", [None, painting, 0, 1, False], session
        ).done
        assert server.model.calls[-1].layout.max() < 19

    def test_a_bomb_in_the_editor_is_refused_at_once(self, server, photo):
        data = io.BytesIO()
        Image.new("1", (9_000, 9_000)).save(data, "PNG")
        status, bomb = upload(server.url, data.getvalue())
        painting = {"background": file(bomb), "layers": []}
        answer = press(server.url, server.page, server.page.restore, "click", [None, painting, False, 0, 1])
        assert not answer.done and "cannot be read" in answer.value


def test_every_file_of_a_visit_goes_in_time_and_the_pages_own_stay(app, tmp_path):
    for server in serve(app, tmp_path, CACHE_SECONDS=2.5, CHECK_SECONDS=0.5):
        own = files(tmp_path)
        status, photo = upload(server.url, png())
        session = fully_restored(server, photo)
        for button in (server.page.make_sheet, server.page.make_files):
            assert press(server.url, server.page, button, "click", [None], session).done
        assert len(files(tmp_path) - own) > 5
        deadline = time.monotonic() + SECONDS
        while files(tmp_path) - own and time.monotonic() < deadline:
            time.sleep(0.2)
        assert files(tmp_path) == own and len(own) >= len(server.page.examples)
