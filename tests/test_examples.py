import json

import numpy as np
import pytest
from PIL import Image

from faceinpaint import examples
from faceinpaint.__main__ import main
from faceinpaint.checkpoint import SHIPPED, weights_sha256
from faceinpaint.examples import FOLDER, read_examples, write_example


@pytest.fixture
def folder(tmp_path, photo, hole):
    Image.fromarray(photo).save(tmp_path / "face.png")
    Image.fromarray(hole).save(tmp_path / "box.mask.png")
    about = {"title": "A box", "photo": "face.png", "mask": "box.mask.png", "seed": 4, "align": False}
    (tmp_path / "box.json").write_text(json.dumps(about))
    return tmp_path


def test_an_example_shows_what_the_model_made_of_it(folder, inpainter, photo, hole, monkeypatch):
    monkeypatch.setattr(examples.FaceInpainter, "from_pretrained", classmethod(lambda cls, source: inpainter))
    assert main(["examples", str(folder)]) == 0
    result = inpainter(photo, hole, seed=4, align=False)
    example = read_examples(folder)["box"]
    assert (example.title, example.seed) == ("A box", 4)
    np.testing.assert_array_equal(example.restored, result.image)
    np.testing.assert_array_equal(np.asarray(example.restored)[~hole], photo[~hole])
    np.testing.assert_array_equal(example.layout, result.layout)
    np.testing.assert_allclose(example.frame.matrix, result.frame.matrix)


def test_a_new_restoration_replaces_the_last_one(folder, inpainter):
    for _ in range(2):
        write_example(inpainter, folder / "box.json")
    assert len(list(folder.iterdir())) == 5 and len(read_examples(folder)) == 1


def test_a_folder_without_examples_is_refused(tmp_path, capsys):
    assert main(["examples", str(tmp_path)]) == 2
    assert "There is no example" in capsys.readouterr().err


@pytest.mark.skipif(not SHIPPED.is_dir(), reason="no weights are shipped")
def test_the_shipped_examples_are_the_shipped_weights_work():
    """Where this fails, `python -m faceinpaint examples` makes them anew."""
    about = [json.loads(path.read_text()) for path in FOLDER.glob("*.json")]
    assert about and {each["weights_sha256"] for each in about} == {weights_sha256(None)}
    assert len(read_examples()) == len(about)
