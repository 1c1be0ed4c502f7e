import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from faceinpaint.datasets import UNLABELLED, read_faces, read_masks, write_label_tar

SIZE = 32


def colour(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8))


def label_map(class_id):
    return Image.fromarray(np.full((SIZE, SIZE), class_id, np.uint8))


def write(target, pictures):
    """Save pictures by file name, into a folder or, where the name ends so, into a tar."""
    if target.suffix != ".tar":
        for name, picture in pictures.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            picture.save(target / name)
        return target
    with tarfile.open(target, "w") as tar:
        for name, picture in pictures.items():
            buffer = io.BytesIO()
            picture.save(buffer, name.rpartition(".")[2].replace("jpg", "jpeg"), lossless=True)
            entry = tarfile.TarInfo(name)
            entry.size = buffer.tell()
            buffer.seek(0)
            tar.addfile(entry, buffer)
    return target


@pytest.mark.parametrize("target", ["faces", "faces.tar"])
def test_folders_and_tars_read_alike(tmp_path, target):
    half = np.zeros((SIZE, SIZE), np.uint8)
    half[:, :20] = 255
    path = write(
        tmp_path / target,
        {
            "a/one.webp": colour(1),
            "a/one.png": label_map(13),
            "a/one.valid.png": Image.fromarray(half),
            "two.png": colour(2),
            "three.jpg": colour(3),
        },
    )
    if target == "faces":
        colour(1).save(path / "a/one.webp", lossless=True)
        (path / "notes.txt").write_text("not a picture")
    faces = read_faces(path, size=SIZE)
    assert len(faces) == 3
    assert set(faces.keys) == {"a/one", "two", "three"}
    one, two = faces.keys.index("a/one"), faces.keys.index("two")
    assert np.array_equal(faces.images[one].numpy(), np.asarray(colour(1)))
    assert np.array_equal(faces.images[two].numpy(), np.asarray(colour(2)))
    assert (faces.labels[one] == 13).all()
    assert (faces.labels[two] == UNLABELLED).all()
    assert faces.labelled.tolist() == [key == "a/one" for key in faces.keys]
    assert np.array_equal(faces.valid[one].numpy(), half > 0)
    assert faces.valid[two].all()


def test_a_label_map_may_leave_the_corner_open(tmp_path):
    labels = np.full((SIZE, SIZE), 13, np.uint8)
    labels[0] = UNLABELLED
    faces = read_faces(
        write(tmp_path / "a.tar", {"one.webp": colour(1), "one.png": Image.fromarray(labels)}), SIZE
    )
    assert faces.labelled.tolist() == [True]


def test_a_folder_of_tars_is_read_whole(tmp_path):
    write(tmp_path / "0.tar", {"one.webp": colour(1)})
    write(tmp_path / "1.tar", {"two.webp": colour(2), "one.png": label_map(4)})
    faces = read_faces(tmp_path, size=SIZE)
    assert faces.keys == ["one", "two"]
    assert faces.labelled.tolist() == [True, False]


def test_a_later_path_replaces_labels(tmp_path):
    first = write(tmp_path / "a.tar", {"one.webp": colour(1), "one.png": label_map(1)})
    second = write(tmp_path / "b.tar", {"one.png": label_map(2)})
    assert (read_faces([first, second], size=SIZE).labels == 2).all()
    assert (read_faces([second, first], size=SIZE).labels == 1).all()


def test_faces_are_resized_and_labels_stay_class_ids(tmp_path):
    labels = np.zeros((SIZE, SIZE), np.uint8)
    labels[:, SIZE // 2 :] = 18
    path = write(tmp_path / "faces", {"one.webp": colour(1), "one.png": Image.fromarray(labels)})
    faces = read_faces(path, size=SIZE // 2)
    assert faces.images.shape == (1, SIZE // 2, SIZE // 2, 3)
    assert set(faces.labels.unique().tolist()) == {0, 18}


def test_only_the_first_faces_are_kept(tmp_path):
    path = write(tmp_path / "faces", {f"{i}.png": colour(i) for i in range(5)})
    assert read_faces(path, size=SIZE, limit=2).keys == ["0", "1"]


def test_label_maps_alone_are_no_faces(tmp_path):
    path = write(tmp_path / "faces", {"one.png": label_map(1)})
    with pytest.raises(ValueError, match="No face pictures were found"):
        read_faces(path)


@pytest.mark.parametrize("read", [read_faces, read_masks])
def test_errors_say_what_is_missing(tmp_path, read):
    with pytest.raises(ValueError, match=r"There is no file or folder .*nowhere"):
        read(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"No (face|mask) pictures were found"):
        read(tmp_path)


@pytest.mark.parametrize("read", [read_faces, read_masks])
def test_damaged_files_are_named(tmp_path, read):
    (tmp_path / "text.tar").write_text("this is no tar")
    with pytest.raises(ValueError, match=r"text\.tar"):
        read(tmp_path / "text.tar")
    folder = write(tmp_path / "faces", {"whole.png": colour(1), "half.png": colour(2)})
    (folder / "half.png").write_bytes((folder / "half.png").read_bytes()[:800])
    with pytest.raises(ValueError, match=r"half\.png"):
        read(folder)


def test_masks_are_read_white_as_hole(tmp_path):
    grey = np.zeros((SIZE, SIZE), np.uint8)
    grey[:8] = 255
    grey[8:16] = 100
    path = write(tmp_path / "masks", {"b.png": Image.fromarray(grey), "a.png": Image.fromarray(255 - grey)})
    names, masks = read_masks(path, size=SIZE)
    assert names == ["a.png", "b.png"]
    assert masks.dtype == torch.bool
    assert np.array_equal(masks[1].numpy(), grey > 127)
    assert np.array_equal(masks[0].numpy(), grey <= 127)


def test_written_labels_are_read_back(tmp_path):
    # A face that is a PNG itself has its labels under the same name.
    faces = write(tmp_path / "faces.tar", {"x/one.webp": colour(1), "two.png": colour(2)})
    labels = torch.randint(
        0, 19, (2, SIZE, SIZE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    write_label_tar(tmp_path / "labels.tar", ["x/one", "two"], labels)
    read = read_faces([faces, tmp_path / "labels.tar"], size=SIZE)
    for key, layout in zip(["x/one", "two"], labels, strict=True):
        assert torch.equal(read.labels[read.keys.index(key)], layout)
    assert np.array_equal(read.images[read.keys.index("two")].numpy(), np.asarray(colour(2)))
