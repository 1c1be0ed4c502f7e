import json
import shutil

import numpy as np
import pytest
import torch
from evaluation_fakes import FakeLpips
from PIL import Image

from faceinpaint.__main__ import main
from faceinpaint.checkpoint import load_network
from faceinpaint.training import ablation, loop
from faceinpaint.training.ablation import VARIANTS, format_table, summarize

TINY = {"channels": (8, 8, 16, 16), "depth": 1, "heads": 4, "size": 64}


@pytest.fixture(scope="module")
def tiny():
    """Tiny networks, few holes, and a distance that needs no weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "LAYOUT_NETWORK", TINY)
        patch.setattr(ablation, "TEXTURE_NETWORK", TINY | {"top_channels": 8, "layout_channels": 8})
        patch.setattr(ablation, "COMPONENTS", 8)
        patch.setattr(ablation, "SHOWN", 3)
        patch.setattr(ablation, "Lpips", FakeLpips)
        patch.setattr(loop, "BANK_SIZE", 20)
        yield patch


@pytest.fixture(scope="module")
def folder(tmp_path_factory, low_rank_pictures, untrained_vgg):
    """A folder of labelled faces, a folder of one mask, VGG19, and a card."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    pictures = ((low_rank_pictures(20, 64).permute(0, 2, 3, 1) + 1) * 127.5).byte().numpy()
    for name in ("faces", "masks", "bare"):
        (folder / name).mkdir()
    for index, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"faces/{index:02}.webp", lossless=True)
        labels = rng.integers(0, 19, (8, 8), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        Image.fromarray(labels).save(folder / f"faces/{index:02}.png")
    Image.fromarray(pictures[0]).save(folder / "bare/0.webp", lossless=True)
    mask = np.zeros((64, 64), np.uint8)
    mask[20:50, 16:56] = 255
    Image.fromarray(mask).save(folder / "masks/a.png")
    shutil.copy(untrained_vgg, folder / "vgg.safetensors")
    (folder / "card.md").write_text("before\n<!-- ablate -->\nold\n<!-- /ablate -->\nafter\n")
    return folder


def ablate(folder, checkpoint, *arguments, faces="faces", validation="faces"):
    """Run the command with one seed on four validation pictures."""
    words = ["ablate", folder / faces, "--out", folder / "out", "--vgg", folder / "vgg.safetensors"]
    words += ["--validation", folder / validation, "--validation-masks", folder / "masks", "--limit", 4]
    words += ["--layout-images", 8, "--texture-images", 8, "--precision", "fp32", "--device", "cpu"]
    return main([*map(str, words), "--seeds", "1", "--checkpoint", str(checkpoint), *map(str, arguments)])


@pytest.fixture(scope="module")
def study(tiny, folder, checkpoint):
    """The folder after a whole study."""
    outputs = "--json", folder / "out.json", "--sheet", folder / "out.png", "--markdown", folder / "card.md"
    assert ablate(folder, checkpoint, *outputs) == 0
    return folder


def test_every_variant_is_measured(study):
    results = json.loads((study / "out.json").read_text())
    assert list(results["variants"]) == list(VARIANTS)
    assert (results["validation_pictures"], results["seeds"], results["faces"]) == (4, [0], 20)
    for name, figures in results["variants"].items():
        single = name == "without Stage 1"
        assert figures["psnr"]["mean"] > 5
        assert figures["lpips"]["mean"] > 0
        assert 0 <= figures["obedience"]["mean"] < 1
        assert (figures["layout_mean_iou"]["mean"] is None) == single
        assert figures["psnr"]["deviation"] is None


def test_a_stage_one_is_shared_by_those_who_need_the_same(study):
    layouts = {path.name for path in (study / "out/seed-0").glob("layout-*")}
    assert layouts == {"layout-cnn-vit", "layout-cnn", "layout-vit", "layout-cnn-vit-no-prior"}
    values = {
        name: figures["layout_mean_iou"]["mean"]
        for name, figures in json.loads((study / "out.json").read_text())["variants"].items()
    }
    assert values["full"] == values["WGAN-GP"] != values["CNN encoder only"]


def test_what_is_taken_away_is_not_there(study):
    def load(folder, name):
        return load_network(study / "out/seed-0" / folder, name)

    assert not hasattr(load("layout-cnn", "layout_generator"), "transformer")
    assert not hasattr(load("layout-vit", "layout_generator"), "stem")
    assert not load("layout-cnn-vit-no-prior", "layout_generator").use_prior
    assert not load("without-the-face-prior", "texture_generator").use_prior
    assert not load("without-contextual-attention", "texture_generator").use_attention
    assert load("full", "texture_generator").use_attention


def test_the_card_gets_the_table_and_the_sheet_a_row_for_each(study):
    text = (study / "card.md").read_text()
    assert text.startswith("before\n<!-- ablate -->\n| variant | PSNR (dB) ↑ |")
    assert text.endswith("\n<!-- /ablate -->\nafter\n")
    assert "\nold\n" not in text
    assert "| without Stage 1 | " in text
    assert "every Stage 1 saw 8 pictures and every Stage 2 8, drawn from 20 labelled faces" in text
    assert f"torch {torch.__version__}" in text
    sheet = Image.open(study / "out.png")
    assert sheet.size == ((1 + 3) * 128, 24 + (2 + len(VARIANTS)) * 128)


def test_what_is_finished_is_kept(study, checkpoint, tiny, capsys):
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "train", None)
        assert ablate(study, checkpoint) == 0
    table = (study / "card.md").read_text().split("\n\n")[0].split("-->\n")[1]
    assert table in capsys.readouterr().out

    (study / "out/seed-0/wgan-gp/result.json").unlink()
    assert ablate(study, checkpoint) == 0
    shown = capsys.readouterr().out
    # Measured anew, but trained already.
    assert "WGAN-GP, seed 0" in shown
    assert "full, seed 0" not in shown
    assert "step " not in shown
    assert table in shown


def test_another_reader_reads_anew(study, checkpoint, tiny, monkeypatch, capsys):
    monkeypatch.setattr(ablation, "VARIANTS", {"full": VARIANTS["full"]})
    monkeypatch.setattr(ablation, "weights_sha256", lambda source: "other")
    assert ablate(study, checkpoint) == 0
    shown = capsys.readouterr().out
    assert "full, seed 0" in shown
    assert "step " not in shown


@pytest.mark.parametrize(
    ("arguments", "changes", "words"),
    [
        (["--texture-images", "16"], {}, "holds a study with other settings"),
        ([], {"validation": "bare"}, "need label maps"),
        ([], {"faces": "nowhere"}, "There is no file or folder"),
        (["--vgg", "nowhere"], {}, "There is no file nowhere"),
        (["--sheet", "sheet.txt"], {}, "needs the name of a picture"),
        (["--markdown", "nowhere.md"], {}, "cannot be read"),
    ],
)
def test_what_does_not_fit_is_a_sentence(
    study, checkpoint, tiny, capsys, monkeypatch, arguments, changes, words
):
    monkeypatch.setattr(ablation, "train", None)
    assert ablate(study, checkpoint, *arguments, **changes) == 2
    assert words in capsys.readouterr().err


def test_figures_by_hand():
    full = {"psnr": 20.0, "ssim": 0.5, "lpips": 0.1, "layout_mean_iou": 0.25, "obedience": 0.5}
    summary = summarize([full, full | {"psnr": 22.0, "layout_mean_iou": None}])
    assert summary["psnr"] == {"mean": 21, "deviation": pytest.approx(2**0.5), "values": [20, 22]}
    assert summary["layout_mean_iou"]["mean"] is None
    row = format_table({"variants": {"full": summary}}).splitlines()[-1]
    assert row == "| full | 21.00 ± 1.41 | 0.5000 ± 0.0000 | 0.1000 ± 0.0000 | – | 0.500 ± 0.000 |"
