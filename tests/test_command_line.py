import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from faceinpaint.__main__ import main
from faceinpaint.checkpoint import save_network
from faceinpaint.datasets import read_faces
from faceinpaint.modeling.layout_generator import LayoutGenerator
from faceinpaint.pipeline import FaceInpainter
from faceinpaint.semantics import layout_to_picture, picture_to_layout

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def without_detector(monkeypatch):
    monkeypatch.setenv("FACEINPAINT_YUNET", "/nowhere")


@pytest.fixture
def loaded(inpainter, monkeypatch):
    """Spares the loading of the networks; the list of checkpoints that were asked for."""
    asked = []
    monkeypatch.setattr(
        FaceInpainter, "from_pretrained", classmethod(lambda cls, source: asked.append(source) or inpainter)
    )
    return asked


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder: a photo, its mask, and files that are neither."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (60, 90, 3)).astype(np.uint8)
    mask = np.zeros((60, 90), np.uint8)
    mask[20:40, 30:60] = 255
    Image.fromarray(photo).save("photo.png")
    Image.fromarray(mask).save("mask.png")
    Image.fromarray(mask[1:]).save("other.png")
    Image.fromarray(mask * 0).save("empty.png")
    Image.new("RGB", (1, 1)).save("dot.png")
    Path("text.png").write_text("this is a text")
    Path("half.png").write_bytes(Path("photo.png").read_bytes()[:6000])
    Image.fromarray(np.zeros((256, 256), np.uint8)).save("layout.png")
    Image.fromarray(rng.integers(0, 256, (256, 256, 3)).astype(np.uint8)).save("face.png")
    Image.fromarray(rng.integers(0, 19, (256, 256)).astype(np.uint8)).convert("RGB").save("ids.png")
    Path("nothing").mkdir()
    return tmp_path


def refuse(capsys, *arguments):
    """Run a command that must fail as it should, and return its sentence."""
    assert main([*map(str, arguments)]) == 2
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    sentence = shown.rpartition("faceinpaint: ")[2].strip()
    assert sentence
    return sentence


def restore(*arguments):
    return main(["restore", *map(str, arguments), "--aligned"])


class TestRestore:
    @pytest.mark.parametrize(
        "outputs",
        [("-o", "photo.png"), ("-o", "mask.png"), ("-o", "."), ("-o", "new.png", "--layout-out", "mask.png")],
    )
    def test_nothing_that_was_given_is_written_over(self, folder, loaded, capsys, outputs):
        before = [Path(name).read_bytes() for name in ("photo.png", "mask.png")]
        sentence = refuse(capsys, "restore", "photo.png", "--mask", "mask.png", "--aligned", *outputs)
        assert "would be written over" in sentence
        assert [Path(name).read_bytes() for name in ("photo.png", "mask.png")] == before

    def test_a_photo(self, folder, checkpoint):
        # The only test of this class that loads the networks from files.
        arguments = "photo.png", "--mask", "mask.png", "--checkpoint", checkpoint
        assert restore(*arguments, "-o", "new/out.png", "--layout-out", "new/layout.png", "--seed", 4) == 0
        photo, result = (np.asarray(Image.open(name)) for name in ("photo.png", "new/out.png"))
        mask = np.asarray(Image.open("mask.png")) > 0
        assert result.shape == photo.shape
        assert np.array_equal(result[~mask], photo[~mask])
        expected = FaceInpainter.from_pretrained(checkpoint)(photo, mask, align=False, seed=4)
        assert np.array_equal(result, expected.image)
        assert np.array_equal(picture_to_layout(Image.open("new/layout.png")), expected.layout)

    def test_the_checkpoint_is_passed_on(self, folder, loaded):
        assert restore("photo.png", "--mask", "mask.png", "-o", "out.png") == 0
        assert restore("photo.png", "--mask", "mask.png", "-o", "out.png", "--checkpoint", "me/faces") == 0
        assert loaded == [None, "me/faces"]

    def test_an_empty_mask_is_said(self, folder, loaded, capsys):
        assert restore("photo.png", "--mask", "empty.png", "-o", "out.png") == 0
        assert "Nothing was painted over" in capsys.readouterr().out
        assert np.array_equal(Image.open("out.png"), Image.open("photo.png"))

    def test_a_given_layout_is_painted(self, folder, loaded):
        arguments = "photo.png", "--mask", "mask.png", "-o", "out.png"
        assert restore(*arguments, "--layout", "layout.png", "--layout-out", "used.png") == 0
        assert (picture_to_layout(Image.open("used.png")) == 0).all()

    def test_the_layout_that_it_writes_is_one_to_paint_from(self, folder, loaded):
        arguments = "photo.png", "--mask", "mask.png"
        assert restore(*arguments, "-o", "out.png", "--layout-out", "used.png") == 0
        assert restore(*arguments, "-o", "again.png", "--layout", "used.png") == 0
        assert np.array_equal(Image.open("again.png"), Image.open("out.png"))

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
    def test_a_layout_in_colours_is_painted(self, folder, loaded, mode):
        layout = (
            np.random.default_rng(0).integers(0, 19, (16, 16)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
        )
        picture = layout_to_picture(layout)
        # Editors and optimisers of PNG files save so few colours as a palette.
        picture = picture.quantize(19) if mode == "P" else picture.convert(mode)
        picture.save("given.png")
        given = "--layout", "given.png", "--layout-out", "used.png"
        assert restore("photo.png", "--mask", "mask.png", "-o", "out.png", *given) == 0
        assert np.array_equal(picture_to_layout(Image.open("used.png")), layout)

    def test_class_ids_in_another_palette_stay_class_ids(self, folder, loaded):
        ids = np.random.default_rng(0).integers(0, 19, (256, 256)).astype(np.uint8)
        layout = Image.fromarray(ids)
        layout.putpalette(np.random.default_rng(1).integers(0, 256, 768).tolist())
        layout.save("layout.png")
        arguments = "photo.png", "--mask", "mask.png", "-o", "out.png"
        assert restore(*arguments, "--layout", "layout.png", "--layout-out", "used.png") == 0
        assert np.array_equal(picture_to_layout(Image.open("used.png")), ids)

    def test_variations_lie_beside_the_first(self, folder, loaded, inpainter):
        arguments = "photo.png", "--mask", "mask.png", "--seed", 3, "--variations", 3
        assert restore(*arguments, "-o", "new/out.png", "--layout-out", "layouts/a.png") == 0
        photo, mask = np.asarray(Image.open("photo.png")), np.asarray(Image.open("mask.png"))
        expected = inpainter(photo, mask, align=False, seed=3, num_variations=3)
        for result, number in zip(expected, ("", "-2", "-3"), strict=True):
            assert np.array_equal(Image.open(f"new/out{number}.png"), result.image)
            assert np.array_equal(picture_to_layout(Image.open(f"layouts/a{number}.png")), result.layout)
        assert len(list(Path("new").iterdir())) == len(list(Path("layouts").iterdir())) == 3

    @pytest.mark.parametrize("name", ["layout.jpg", "layout.foo", "layouts"])
    def test_a_layout_that_could_not_be_read_again_is_refused_before_anything_is_written(
        self, folder, loaded, capsys, name
    ):
        arguments = "photo.png", "--mask", "mask.png", "-o", "out.png", "--layout-out", name
        assert "a layout's picture is a .png file" in refuse(capsys, "restore", *arguments)
        assert not Path("out.png").exists()

    @pytest.mark.parametrize("there", ["out-2.png", "layout-3.png"])
    def test_variations_never_overwrite_a_file(self, folder, loaded, capsys, there):
        """Nobody named it: it may be another photo."""
        Image.open("photo.png").save(there)
        arguments = "photo.png", "--mask", "mask.png", "-o", "out.png", "--layout-out", "layout.png"
        assert f"{there} is there already" in refuse(capsys, "restore", *arguments, "--variations", "3")
        assert np.array_equal(Image.open(there), Image.open("photo.png"))
        assert not Path("out.png").exists()

    def test_variations_of_a_folder(self, folder, loaded, capsys):
        Path("photos").mkdir()
        for name in ("a", "a-2", "b"):
            Image.open("photo.png").save(f"photos/{name}.png")
        arguments = "restore", "photos", "--mask", "mask.png", "-o", "out", "--aligned", "--variations", "2"
        sentence = refuse(capsys, *arguments)
        assert "1 of 3 photos failed" in sentence
        assert "a.png: out/a-2.png is there already" in sentence
        written = sorted(path.name for path in Path("out").iterdir())
        assert written == ["a-2-2.png", "a-2.png", "b-2.png", "b.png"]

    def test_a_folder_of_photos(self, folder, loaded, capsys):
        for name in ("photos", "masks"):
            Path(name).mkdir()
        for name in ("one", "two"):
            Image.open("mask.png").save(f"masks/{name}.png")
        Image.open("photo.png").save("photos/one.jpg")
        Image.open("photo.png").save("photos/two.tif")
        Path("photos/notes.txt").write_text("no photo")
        assert restore("photos", "--mask", "masks", "-o", "out", "--layout-out", "layouts") == 0
        assert sorted(path.name for path in Path("out").iterdir()) == ["one.png", "two.tif"]
        assert sorted(path.name for path in Path("layouts").iterdir()) == ["one.png", "two.png"]
        assert Image.open("out/one.png").size == (90, 60)
        # One mask for all, too.
        assert restore("photos", "--mask", "mask.png", "-o", "again") == 0
        assert np.array_equal(Image.open("again/two.tif"), Image.open("out/two.tif"))

    def test_photos_of_a_folder_never_overwrite_each_other(self, folder, loaded):
        for name in ("photos", "masks"):
            Path(name).mkdir()
        for name in ("a.jpg", "a.png", "b[1].png"):
            Image.open("photo.png").save(f"photos/{name}")
        for name in ("a.png", "b[1].png"):
            Image.open("mask.png").save(f"masks/{name}")
        assert restore("photos", "--mask", "masks", "-o", "out", "--layout-out", "layouts") == 0
        expected = ["a.jpg.png", "a.png.png", "b[1].png"]
        for name in ("out", "layouts"):
            assert sorted(path.name for path in Path(name).iterdir()) == expected

    def test_a_mask_is_of_the_very_name_of_its_photo(self, folder, loaded, inpainter):
        for name in ("photos", "masks"):
            Path(name).mkdir()
        mask = np.zeros((60, 90), np.uint8)
        # Each photo has its hole elsewhere.
        holes = {"anna.png": 2, "anna.edited.png": 12, "eve.jpg": 22, "eve.png": 32}
        for name, top in holes.items():
            Image.open("photo.png").save(f"photos/{name}")
            mask[:], mask[top : top + 8] = 0, 255
            Image.fromarray(mask).save(f"masks/{name}", quality=100)
        Path("masks/anna.json").write_text("{}")
        assert restore("photos", "--mask", "masks", "-o", "out") == 0
        for name, written in (
            ("anna.png", "anna.png"),
            ("anna.edited.png", "anna.edited.png"),
            ("eve.jpg", "eve.jpg.png"),
            ("eve.png", "eve.png.png"),
        ):
            changed = np.asarray(Image.open(f"out/{written}")) != np.asarray(Image.open(f"photos/{name}"))
            rows = np.flatnonzero(changed.any((1, 2)))
            assert (rows[0], rows[-1]) == (holes[name], holes[name] + 7)

    def test_only_a_picture_is_a_mask(self, folder, loaded, capsys):
        for name in ("photos", "masks"):
            Path(name).mkdir()
        Image.open("photo.png").save("photos/anna.png")
        Path("masks/anna.json").write_text("{}")
        Image.open("mask.png").save("masks/anna.edited.png")
        sentence = refuse(capsys, "restore", "photos", "--mask", "masks", "-o", "out", "--aligned")
        assert "There is no mask named anna in masks" in sentence

    def test_bad_photos_of_a_folder_do_not_stop_the_others(self, folder, loaded, capsys):
        for name in ("photos", "masks"):
            Path(name).mkdir()
        for name in ("a", "b", "c"):
            Image.open("photo.png").save(f"photos/{name}.png")
            Image.open("mask.png").save(f"masks/{name}.png")
        Path("photos/a.png").write_text("no photo")
        Path("masks/b.png").unlink()
        sentence = refuse(capsys, "restore", "photos", "--mask", "masks", "-o", "out", "--aligned")
        assert "2 of 3 photos failed" in sentence
        assert "a.png is not a picture" in sentence
        assert "There is no mask named b" in sentence
        assert [path.name for path in Path("out").iterdir()] == ["c.png"]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["nowhere.png", "--mask", "mask.png"], "There is no file nowhere.png"),
            (["text.png", "--mask", "mask.png"], "text.png is not a picture"),
            (["half.png", "--mask", "mask.png"], "half.png is damaged"),
            (["dot.png", "--mask", "dot.png"], "only 1 x 1 pixels"),
            (["photo.png", "--mask", "nowhere.png"], "There is no file nowhere.png"),
            (["photo.png", "--mask", "text.png"], "text.png is not a picture"),
            (["photo.png", "--mask", "other.png"], "The mask is 90 x 59 pixels but the picture is 90 x 60"),
            (["photo.png", "--mask", "nothing"], "nothing is not a picture"),
            (["photo.png", "--mask", "mask.png", "--layout", "nowhere.png"], "nowhere.png"),
            (["photo.png", "--mask", "mask.png", "--layout", "text.png"], "text.png"),
            (["photo.png", "--mask", "mask.png", "--layout", "mask.png"], "layout"),
            (
                ["photo.png", "--mask", "mask.png", "--layout", "photo.png"],
                "90 x 60 pixels; it must be 256 x",
            ),
            (["photo.png", "--mask", "mask.png", "--layout", "face.png"], "face.png are not those of"),
            (["photo.png", "--mask", "mask.png", "--layout", "ids.png"], "ids.png are not those of"),
            (["photo.png", "--mask", "mask.png", "-o", "out.xyz"], "out.xyz cannot be written"),
            (["photo.png", "--mask", "mask.png", "-o", "text.png/out.png"], "text.png"),
            (["nothing", "--mask", "mask.png"], "There is no photo in nothing"),
        ],
    )
    def test_bad_input_is_a_sentence(self, folder, loaded, capsys, arguments, words):
        sentence = refuse(capsys, "restore", "--aligned", "-o", "out.png", *arguments)
        assert words in sentence
        assert not Path("out.png").is_file()

    def test_no_face_is_a_sentence(self, folder, loaded, inpainter, capsys, monkeypatch):
        monkeypatch.setattr(inpainter, "_parse", lambda faces, unknown: np.zeros(unknown.shape, np.uint8))
        sentence = refuse(capsys, "restore", "photo.png", "--mask", "mask.png", "-o", "out.png")
        assert "No face was found" in sentence

    def test_a_missing_checkpoint_is_a_sentence(self, folder, capsys):
        sentence = refuse(
            capsys, "restore", "photo.png", "--mask", "mask.png", "-o", "o.png", "--checkpoint", "nothing"
        )
        assert "nothing/frame_regressor.json is missing" in sentence

    def test_a_mismatched_checkpoint_is_a_sentence(self, folder, capsys):
        for name in ("frame_regressor.json", "frame_regressor.safetensors"):
            Path("nothing", name).write_text("{}")
        sentence = refuse(
            capsys, "restore", "photo.png", "--mask", "mask.png", "-o", "o.png", "--checkpoint", "nothing"
        )
        assert "nothing/frame_regressor.safetensors is damaged or does not hold" in sentence
        assert "\n" not in sentence


class TestOtherCommands:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["train", "prior", "nowhere", "--out", "out"], "There is no file or folder nowhere"),
            (["train", "prior", "nothing", "--out", "out"], "No face pictures were found"),
            (["train", "prior", "text.png", "--out", "out"], "text.png"),
            (["train", "layout", "photo.png", "--out", "nothing", "--images", "8"], "face_prior.json"),
            (["train", "texture", "x", "--out", "nothing", "--images", "8", "--vgg", "v"], "face_prior.json"),
            (["label", "nowhere", "--out", "out.tar"], "There is no file or folder nowhere"),
        ],
    )
    def test_bad_input_is_a_sentence(self, folder, loaded, checkpoint, capsys, arguments, words):
        if arguments[0] == "label":
            arguments = [*arguments, "--checkpoint", str(checkpoint)]
        assert words in refuse(capsys, *arguments)

    @pytest.mark.parametrize("stage", [["texture", "--vgg", "v"], ["layout", "--teacher", "CHECKPOINT"]])
    def test_a_stage_that_knows_the_prior_is_not_asked_without_it(self, checkpoint, capsys, stage):
        arguments = ["train", *stage, "--out", "CHECKPOINT", "--images", "8", "--no-prior", "--", "photo.png"]
        arguments = [str(checkpoint) if word == "CHECKPOINT" else word for word in arguments]
        assert "leave --no-prior out" in refuse(capsys, *arguments)

    def test_training_the_prior_writes_it(self, tmp_path, low_rank_pictures, capsys):
        pictures = ((low_rank_pictures(40, 64).permute(0, 2, 3, 1) + 1) * 127.5).byte().numpy()
        (tmp_path / "faces").mkdir()
        for index, picture in enumerate(pictures):
            Image.fromarray(picture).save(tmp_path / f"faces/{index}.png")
        assert (
            main(["train", "prior", f"{tmp_path}/faces", "--out", f"{tmp_path}/out", "--components", "20"])
            == 0
        )
        assert "40 faces; 20 components explain 9" in capsys.readouterr().out
        from faceinpaint.checkpoint import load_network

        assert load_network(tmp_path / "out", "face_prior").components == 20

    def test_labelling_writes_what_stage_one_reads(self, tmp_path, inpainter, checkpoint, photo, capsys):
        (tmp_path / "faces").mkdir()
        Image.fromarray(photo).save(tmp_path / "faces/one.webp", lossless=True)
        Image.fromarray(photo).save(tmp_path / "faces/two.webp", lossless=True)
        Image.new("L", (256, 256), 7).save(tmp_path / "faces/two.png")
        out = tmp_path / "new/labels.tar"
        arguments = ["--out", str(out), "--checkpoint", str(checkpoint), "--device", "cpu"]
        assert main(["label", f"{tmp_path}/faces", *arguments]) == 0
        faces = read_faces([tmp_path / "faces", out])
        expected = torch.from_numpy(inpainter.predict_layout(photo, np.zeros((256, 256)), align=False))
        # Weights that were folded round a little otherwise.
        assert (faces.labels[faces.keys.index("one")] == expected).float().mean() > 0.97
        # What has a label map already keeps it.
        assert (faces.labels[faces.keys.index("two")] == 7).all()

    def test_a_label_map_does_not_depend_on_the_faces_beside_it(self, tmp_path, checkpoint, photo):
        def label(name, *faces):
            folder = tmp_path / name
            folder.mkdir()
            for face in faces:
                Image.fromarray(photo).save(folder / f"{face}.webp", lossless=True)
            if "padded" in faces:
                valid = np.arange(256)[:, None].repeat(256, 1) < 200
                Image.fromarray(valid).save(folder / "padded.valid.png")
            out = tmp_path / f"{name}.tar"
            arguments = ["--out", str(out), "--checkpoint", str(checkpoint), "--device", "cpu"]
            assert main(["label", str(folder), *arguments]) == 0
            read = read_faces([folder, out])
            return dict(zip(read.keys, read.labels, strict=True))

        alone, together = label("alone", "whole"), label("together", "padded", "whole")
        assert torch.equal(alone["whole"], together["whole"])
        assert not torch.equal(together["padded"], together["whole"])

    def test_labelling_without_the_prior(self, tmp_path, photo, shake):
        (tmp_path / "faces").mkdir()
        Image.fromarray(photo).save(tmp_path / "faces/one.webp", lossless=True)
        small = {"channels": (8, 8, 16, 16), "depth": 1, "heads": 2, "use_prior": False}
        save_network(tmp_path, "layout_generator", shake(LayoutGenerator(**small)), small)
        arguments = ["--out", f"{tmp_path}/labels.tar", "--checkpoint", str(tmp_path), "--device", "cpu"]
        assert main(["label", f"{tmp_path}/faces", *arguments]) == 0
        assert read_faces([tmp_path / "faces", tmp_path / "labels.tar"]).labelled.all()

    @pytest.mark.parametrize("arguments", [[], ["paint"], ["restore", "photo.png"]])
    def test_a_wrong_call_shows_the_usage(self, arguments, capsys):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        assert "usage: python -m faceinpaint" in capsys.readouterr().err


def test_the_exit_status_reaches_the_shell(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "faceinpaint", "train", "prior", str(tmp_path / "no"), "--out", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.strip() == f"faceinpaint: There is no file or folder {tmp_path / 'no'}."
