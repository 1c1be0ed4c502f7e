import argparse
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from evaluation_fakes import FakeLpips
from PIL import Image

from faceinpaint.evaluation import command
from faceinpaint.evaluation.restoration import format_table


class TestMain:
    @pytest.fixture
    def run(self, tmp_path, monkeypatch):
        """Run the command line on three faces in folders, with the loading of networks replaced."""
        generator = np.random.default_rng(0)
        (tmp_path / "faces").mkdir()
        (tmp_path / "masks").mkdir()
        for index in range(3):
            face = Image.fromarray(generator.integers(0, 256, (256, 256, 3), dtype=np.uint8))
            face.save(tmp_path / f"faces/{index}.webp", lossless=True)
            Image.fromarray(generator.integers(0, 19, (256, 256), dtype=np.uint8)).save(
                tmp_path / f"faces/{index}.png"
            )
        Image.fromarray(np.repeat(np.uint8([0, 0, 0, 255]), 64 * 256).reshape(256, 256)).save(
            tmp_path / "masks/quarter.png"
        )
        loaded = []

        class Restorer:
            """Restores nothing: the grey comes back, and the layout is background."""

            weights_sha256 = "abcdef0123456789" * 4

            @classmethod
            def from_pretrained(cls, checkpoint):
                loaded.append(checkpoint)
                return cls()

            def __call__(self, image, mask, align, seed):
                return SimpleNamespace(image=Image.fromarray(image), layout=np.zeros(mask.shape, np.uint8))

            def predict_layout(self, image, mask, align):
                return np.zeros(mask.shape, np.uint8)

        monkeypatch.setitem(sys.modules, "faceinpaint.pipeline", SimpleNamespace(FaceInpainter=Restorer))
        monkeypatch.setattr(command, "Lpips", FakeLpips)
        monkeypatch.chdir(tmp_path)

        def run(*arguments):
            parser = argparse.ArgumentParser()
            parser.add_argument("--checkpoint")
            command.add_arguments(parser)
            command.main(parser.parse_args(["faces", "masks", *arguments]))
            return loaded

        return run

    def test_files(self, run, tmp_path, capsys):
        card = tmp_path / "card.md"
        card.write_text("# Card\n\n<!-- evaluate -->\nold figures\n<!-- /evaluate -->\nThe end\n")
        run("--limit", "2", "--json", "out.json", "--sheet", "out.png", "--markdown", "card.md")
        results = json.loads((tmp_path / "out.json").read_text())
        assert (results["faces"], results["samples"]) == (2, 2)
        assert results["bands"]["20-40%"]["methods"]["Telea"]["psnr"]["mean"] > 0
        assert Image.open(tmp_path / "out.png").width == 6 * 256

        text = card.read_text()
        table = format_table(results)
        assert text.startswith(f"# Card\n\n<!-- evaluate -->\n{table}\n\nWritten by `python -m faceinpaint ")
        assert text.endswith("\n<!-- /evaluate -->\nThe end\n")
        assert "old figures" not in text
        assert table in capsys.readouterr().out
        for detail in (
            "`python -m faceinpaint evaluate faces masks --lpips-net alex --limit 2`",
            results["date"],
            "`abcdef012345`",
            "2 pictures (2 faces",
        ):
            assert detail in text

        # A second run replaces the first one's table.
        run("--limit", "2", "--markdown", "card.md")
        assert card.read_text() == text

    def test_each_measure_writes_between_its_own_markers(self, run, tmp_path):
        card = tmp_path / "card.md"
        kept = "<!-- evaluate -->\nkept\n<!-- /evaluate -->\n"
        card.write_text(f"{kept}<!-- evaluate texture -->\n<!-- /evaluate texture -->\n")
        Image.fromarray(np.repeat(np.uint8([255, 0]), 128 * 256).reshape(256, 256)).save(
            tmp_path / "masks/half.png"
        )
        run("--measure", "texture", "--limit", "1", "--markdown", "card.md", "--json", "out.json")
        text = card.read_text()
        assert text.startswith(f"{kept}<!-- evaluate texture -->\n| class |")
        assert text.endswith("\n<!-- /evaluate texture -->\n")
        assert "`python -m faceinpaint evaluate faces masks --measure texture --limit 1`" in text
        assert json.loads((tmp_path / "out.json").read_text())["samples"] == 2

    def test_the_checkpoint_is_passed_on(self, run):
        assert run("--limit", "1", "--checkpoint", "elsewhere") == ["elsewhere"]
        assert run("--limit", "1") == ["elsewhere", None]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--json", "nowhere/out.json"], "There is no folder nowhere"),
            (["--sheet", "out.txt"], "needs the name of a picture"),
            (["--markdown", "missing.md"], "cannot be read"),
            (["--markdown", "plain.md"], "needs the lines <!-- evaluate -->"),
            (["--markdown", "inline.md"], "needs the lines <!-- evaluate -->"),
            (["--measure", "groups", "--markdown", "plain.md"], "needs the lines <!-- evaluate groups -->"),
            (["--measure", "identity"], "needs --identity MODEL"),
            (["--measure", "identity", "--identity", "plain.md"], "network plain.md cannot be loaded"),
        ],
    )
    def test_outputs_that_cannot_be_written_are_found_before_anything_is_loaded(
        self, run, tmp_path, monkeypatch, arguments, words
    ):
        (tmp_path / "plain.md").write_text("no markers\n")
        (tmp_path / "inline.md").write_text("between <!-- evaluate --> and <!-- /evaluate -->\n")
        monkeypatch.setattr(command, "Lpips", None)
        with pytest.raises(ValueError, match=words):
            run(*arguments)

    @pytest.mark.parametrize("limit", ["0", "-1", "many"])
    def test_a_limit_that_is_no_number_of_faces(self, run, capsys, limit):
        with pytest.raises(SystemExit):
            run(f"--limit={limit}")
        assert "whole number from 1 up" in capsys.readouterr().err
