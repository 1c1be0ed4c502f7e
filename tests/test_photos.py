import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from faceinpaint.photos import check_image, check_mask, read_mask, read_photo


@pytest.fixture
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 40, 3)).astype(np.uint8))


def png_header(width, height):
    """The start of a PNG file that claims to be of this size, without any pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    size, checksum = struct.pack(">I", 13), struct.pack(">I", zlib.crc32(head))
    return b"\x89PNG\r\n\x1a\n" + size + head + checksum + b"\0\0\1\0IDAT"


def test_a_photo_is_read_as_it_is(tmp_path, picture):
    picture.save(tmp_path / "photo.png")
    read = read_photo(tmp_path / "photo.png")
    assert read.mode == "RGB"
    assert np.array_equal(read, picture)


def test_a_photo_taken_sideways_is_turned_upright(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter turn clockwise
    picture.save(tmp_path / "photo.png", exif=exif)
    read = read_photo(tmp_path / "photo.png")
    assert read.size == (24, 40)
    assert np.array_equal(read, np.rot90(np.asarray(picture), -1))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK", "I;16"])
def test_photos_of_other_modes_are_read_in_colours(tmp_path, picture, mode):
    grey = picture.convert("L")
    converted = grey.convert("I").convert("I;16") if mode == "I;16" else picture.convert(mode)
    converted.save(tmp_path / "photo.tif")
    assert check_image(read_photo(tmp_path / "photo.tif")).shape == (24, 40, 3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_a_truncated_file_is_damaged(tmp_path, picture, suffix):
    path = tmp_path / f"photo.{suffix}"
    picture.resize((200, 200)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"photo\.{suffix} is (damaged|not a picture)"):
        read_photo(path)


@pytest.mark.parametrize("content", [b"", b"this is a text\n" * 40])
def test_a_file_that_is_no_picture(tmp_path, content):
    (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=r"photo\.jpg is not a picture that can be opened"):
        read_photo(tmp_path / "photo.jpg")


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(ValueError, match=r"There is no file .*nowhere\.jpg"):
        read_photo(tmp_path / "nowhere.jpg")
    with pytest.raises(ValueError, match="is not a picture that can be opened"):
        read_photo(tmp_path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("width", "height", "words"), [(9000, 9000, "81"), (60_000, 60_000, "3600")])
def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, width, height, words):
    # There are no pixels in the file at all: decoding it would say "damaged".
    (tmp_path / "huge.png").write_bytes(png_header(width, height))
    with pytest.raises(ValueError, match=rf"huge\.png has .*(?:{words}|many).* at most 50 "):
        read_photo(tmp_path / "huge.png")


def test_a_mask_is_white_where_to_fill(tmp_path):
    grey = np.array([[0, 100, 127, 128, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert mask.dtype == bool
    assert mask.tolist() == [[False, False, False, True, True]]


def test_images_of_all_kinds_are_rgb_arrays(picture):
    assert np.array_equal(check_image(picture), picture)
    assert np.array_equal(check_image(np.asarray(picture)), picture)
    grey = picture.convert("L")
    for image in (grey, np.asarray(grey)):
        assert np.array_equal(check_image(image), np.asarray(grey.convert("RGB")))
    opaque = picture.convert("RGBA")
    assert np.array_equal(check_image(opaque), picture)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.zeros((1, 1, 3), np.uint8), "only 1 x 1 pixels"),
        (Image.new("RGB", (300, 15)), "only 300 x 15 pixels"),
        (np.zeros((0, 0, 3), np.uint8), "only 0 x 0 pixels"),
        (np.zeros((32, 32, 3), np.float32), "not a picture"),
        (np.zeros((32, 32, 4), np.uint8), "not a picture"),
        (np.zeros((2, 32, 32, 3), np.uint8), "not a picture"),
        ("photo.jpg", "not a picture"),
        (None, "not a picture"),
    ],
)
def test_what_is_no_photo_is_refused(bad, words):
    with pytest.raises(ValueError, match=words):
        check_image(bad)


def test_a_picture_that_breaks_off_when_it_is_decoded(tmp_path, picture):
    path = tmp_path / "photo.png"
    picture.resize((200, 200)).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with Image.open(path) as opened, pytest.raises(ValueError, match="damaged"):
        check_image(opened)


def test_masks_of_all_kinds_are_bool_arrays():
    image = np.zeros((20, 30, 3), np.uint8)
    expected = np.zeros((20, 30), bool)
    expected[3:9, 4:20] = True
    for mask in (
        expected,
        expected * 1.0,
        expected.astype(np.uint8) * 7,
        -expected.astype(int),
        expected[..., None],
        Image.fromarray(expected),
        Image.fromarray(expected.astype(np.uint8) * 255),
    ):
        checked = check_mask(mask, image)
        assert checked.dtype == bool
        assert np.array_equal(checked, expected)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.zeros((30, 20)), "The mask is 20 x 30 pixels but the picture is 30 x 20"),
        (Image.new("L", (10, 10)), "The mask is 10 x 10 pixels but the picture is 30 x 20"),
        (np.zeros((20, 30, 3)), "one number a pixel"),
        (np.full((20, 30), np.nan), "not a number"),
        (None, "one number a pixel"),
    ],
)
def test_what_is_no_mask_is_refused(bad, words):
    with pytest.raises(ValueError, match=words):
        check_mask(bad, np.zeros((20, 30, 3), np.uint8))
