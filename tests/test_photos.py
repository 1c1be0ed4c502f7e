import struct
import zlib

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms, ImageOps

from faceinpaint import photos
from faceinpaint.photos import Photo, check_mask, read_mask, read_photo


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
    read = np.asarray(read_photo(tmp_path / "photo.tif"))
    assert read.shape == (24, 40, 3)
    if mode == "I;16":
        expected = np.asarray(grey)[..., None] / 257
    else:
        expected = np.asarray(converted.convert("RGB")).astype(float)
    # Of CMYK without a profile the colours are but alike.
    assert abs(read - expected).max() <= (40 if mode == "CMYK" else 0.5)


def test_photos_of_every_format_are_found_in_folders_and_can_be_saved(tmp_path, picture):
    Image.init()
    formats = {Image.EXTENSION[suffix] for suffix in photos.SUFFIXES}
    assert formats == set(photos._READ)
    for format in formats:
        picture.save(tmp_path / "photo", format)
        photo = Photo.open(tmp_path / "photo")
        photo.save(tmp_path / f"again{photo.suffix}")
        np.testing.assert_array_equal(Photo.open(tmp_path / f"again{photo.suffix}").rgb, photo.rgb)


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


def test_a_file_of_another_kind_is_no_picture_whatever_it_is_called(tmp_path, picture):
    """Pillow would hand a PostScript program to Ghostscript."""
    picture.save(tmp_path / "photo.eps")
    (tmp_path / "photo.eps").rename(tmp_path / "photo.jpg")
    with pytest.raises(ValueError, match="photo.jpg is not a picture that can be opened"):
        Photo.open(tmp_path / "photo.jpg")


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (124, 58, 237)])
def test_strokes_on_an_empty_layer_are_a_mask_in_any_colour(tmp_path, colour):
    strokes = np.zeros((30, 40), bool)
    strokes[5:12, 6:20] = True
    layer = Image.new("RGBA", (40, 30), colour)
    layer.putalpha(Image.fromarray(strokes * np.uint8(150)))
    layer.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), strokes)
    np.testing.assert_array_equal(check_mask(layer, np.zeros((30, 40, 3))), strokes)
    # Nothing of this one is transparent: white counts.
    Image.fromarray(strokes).convert("RGBA").save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), strokes)


def rounded_corners(height, width):
    """Opacity, height x width uint8, of a rectangle with soft round corners."""
    large = np.zeros((8 * height, 8 * width), np.uint8)
    radius = 48
    cv2.rectangle(large, (radius, 0), (8 * width - radius, 8 * height), 255, -1)
    cv2.rectangle(large, (0, radius), (8 * width, 8 * height - radius), 255, -1)
    for x in (radius, 8 * width - radius):
        for y in (radius, 8 * height - radius):
            cv2.circle(large, (x, y), radius, 255, -1)
    return cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)


def read_both_ways(layer, path):
    """A mask, H x W x 4 uint8, from a file and as a PIL image."""
    Image.fromarray(layer).save(path)
    read = read_mask(path)
    np.testing.assert_array_equal(check_mask(Image.fromarray(layer), layer), read)
    return read


@pytest.mark.parametrize("opacity", ["one pixel", "all", "corners", "bars"])
def test_a_little_transparency_does_not_hide_the_whole_photo(tmp_path, opacity):
    """Editors leave an opacity in black and white masks that means nothing."""
    strokes = np.zeros((30, 40), bool)
    strokes[5:12, 9:30] = True
    opacities = {
        "one pixel": np.where(np.arange(1200).reshape(30, 40) == 700, 254, 255),
        "all": np.full((30, 40), 254),
        "corners": rounded_corners(30, 40),
        "bars": np.full((30, 40), 255) * (abs(np.arange(40) - 20) < 12),
    }
    layer = np.dstack([strokes * 255] * 3 + [opacities[opacity]]).astype(np.uint8)
    # What nobody sees is of any colour.
    layer[layer[..., 3] == 0] = (255, 255, 255, 0)
    expected = strokes & (layer[..., 3] > 0)
    np.testing.assert_array_equal(read_both_ways(layer, tmp_path / "mask.png"), expected)


@pytest.mark.parametrize("colours", [((0, 0, 0),), ((124, 58, 237),), ((124, 58, 237), (255, 213, 79))])
def test_soft_and_faded_strokes_are_a_mask_where_they_are(tmp_path, colours):
    layer = np.zeros((30, 40, 4), np.uint8)
    for number, colour in enumerate(colours):
        layer[5 + 10 * number : 12 + 10 * number, 6:20] = (*colour, 100)
    soft = cv2.GaussianBlur(layer[..., 3], (5, 5), 1)
    layer = np.where(layer[..., 3:] > 0, layer, np.uint8([*colours[0], 0]))
    layer[..., 3] = soft
    np.testing.assert_array_equal(read_both_ways(layer, tmp_path / "mask.png"), soft > 0)


def test_a_picture_with_a_part_cut_out_is_no_mask(tmp_path, photo):
    """Is what was cut out to be filled, or what is left? Either could be meant."""
    opacity = np.full((256, 256), 255, np.uint8)
    opacity[100:160, 90:170] = 0
    cut = Image.fromarray(np.dstack([photo, opacity]))
    cut.save(tmp_path / "mask.png")
    for read in (lambda: read_mask(tmp_path / "mask.png"), lambda: check_mask(cut, photo)):
        with pytest.raises(ValueError, match="a part cut out, so it does not tell what to fill"):
            read()


def test_a_mask_is_white_where_to_fill(tmp_path):
    grey = np.array([[0, 100, 127, 128, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert mask.dtype == bool
    assert mask.tolist() == [[False, False, False, True, True]]


def test_images_of_all_kinds_are_rgb_arrays(picture):
    assert np.array_equal(Photo.of(picture).rgb, picture)
    assert np.array_equal(Photo.of(np.asarray(picture)).rgb, picture)
    grey = picture.convert("L")
    for image in (grey, np.asarray(grey)):
        assert np.array_equal(Photo.of(image).rgb, np.asarray(grey.convert("RGB")))
    opaque = picture.convert("RGBA")
    assert np.array_equal(Photo.of(opaque).rgb, picture)


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
        Photo.of(bad)


def test_a_picture_that_breaks_off_when_it_is_decoded(tmp_path, picture):
    path = tmp_path / "photo.png"
    picture.resize((200, 200)).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with Image.open(path) as opened, pytest.raises(ValueError, match="damaged"):
        Photo.of(opened)


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
        Image.fromarray(expected).convert("P"),
        Image.fromarray(expected * np.float32(0.6)),
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


def swapped_profile():
    """Bytes of a profile whose colours are far from sRGB's: red and blue change places."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


def hole_of(photo):
    mask = np.zeros(photo.pixels.shape[:2], bool)
    mask[5:15, 8:20] = True
    return mask


def decode(path):
    """What another program reads from the file: Pillow's pixels, or those of more than 8 bits."""
    if path.suffix == ".heic":
        return np.asarray(pillow_heif.open_heif(path, convert_hdr_to_8bit=False))
    deep = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if deep is not None and deep.dtype == np.uint16:
        return deep
    return np.asarray(Image.open(path))


def write_deep_heic(path, mode, bits, rng, **options):
    """Make a HEIC of random colours, 40 x 24; returns their levels, 24 x 40 x channels."""
    levels = rng.integers(0, 2**bits, (24, 40, len(mode))).astype(np.uint16)
    file = pillow_heif.from_bytes(f"{mode};16", (40, 24), (levels << (16 - bits)).tobytes())
    options = {name: value for name, value in options.items() if value is not None}
    file.save(path, quality=-1, chroma=444, matrix_coefficients=0, bit_depth=bits, **options)
    return levels


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("RGB", ".png"),
        ("RGB", ".tif"),
        ("RGB", ".webp"),
        ("RGB", ".heic"),
        ("RGB", ".bmp"),
        ("RGBA", ".png"),
        ("RGBA", ".webp"),
        ("RGBA", ".heic"),
        ("LA", ".png"),
        ("L", ".png"),
        ("L", ".tif"),
        ("CMYK", ".tif"),
        ("I;16", ".png"),
        ("I;16", ".tif"),
        ("RGB 16", ".png"),
        ("RGBA 16", ".png"),
        ("LA 16", ".png"),
        ("RGB 10", ".heic"),
        ("RGBA 10", ".heic"),
        ("RGB 12", ".heic"),
    ],
)
@pytest.mark.parametrize("profile", [None, swapped_profile()], ids=["srgb", "profile"])
def test_a_round_trip_keeps_format_profile_and_every_known_pixel(tmp_path, picture, mode, suffix, profile):
    path, out = tmp_path / f"photo{suffix}", tmp_path / f"out{suffix}"
    rng = np.random.default_rng(1)
    if mode.endswith(" 16"):
        channels = mode.removesuffix(" 16")
        pixels = rng.integers(0, 65536, (24, 40, len(channels))).astype(np.uint16)
        Photo(pixels, channels, profile).save(path)
        bgr = {"RGB": [2, 1, 0], "RGBA": [2, 1, 0, 3], "LA": [0, 0, 0, 1]}[channels]
        assert np.array_equal(decode(path), pixels[..., bgr])
        # Grey stays grey in the file: byte 25 of a PNG tells.
        assert path.read_bytes()[25] == {"RGB": 2, "RGBA": 6, "LA": 4}[channels]
        assert Photo.open(path).mode == channels
    elif suffix == ".heic" and mode[-2:].isdigit():
        write_deep_heic(path, mode[:-3], int(mode[-2:]), rng, icc_profile=profile)
    elif mode == "I;16":
        Image.fromarray(rng.integers(0, 65536, (24, 40)).astype(np.uint16)).save(path)
    else:
        exact = {".webp": {"lossless": True, "exact": True}, ".heic": {"quality": -1, "chroma": 444}}
        image = picture.convert(mode)
        if "A" in mode:
            image.putalpha(Image.fromarray(rng.integers(0, 256, (24, 40)).astype(np.uint8)))
        options = {"icc_profile": profile} if profile else {}
        image.save(path, **options, **exact.get(suffix, {}))
    photo = Photo.open(path)
    assert photo.suffix == suffix
    empty = np.zeros(photo.pixels.shape[:2], bool)
    photo.filled(photo.rgb, empty).save(out)
    assert np.array_equal(decode(out), decode(path))
    assert Image.open(out).mode == Image.open(path).mode
    assert Image.open(out).info.get("icc_profile") == Image.open(path).info.get("icc_profile")

    hole = hole_of(photo)
    photo.filled(np.full((24, 40, 3), 90, np.uint8), hole).save(out)
    known = ~hole if decode(path).ndim == 2 else ~hole[..., None]
    assert np.array_equal(decode(out) * known, decode(path) * known)
    # The fill is the grey that was asked for, whatever the profile and the channels.
    assert abs(np.asarray(read_photo(out))[hole].astype(int) - 90).max() <= 2


@pytest.mark.parametrize("bits", [10, 12])
def test_a_heic_keeps_its_depth_and_the_meaning_of_its_colours(tmp_path, bits):
    path, out = tmp_path / "photo.heic", tmp_path / "out.heic"
    # BT.2020 and PQ, as cameras that take HDR write.
    levels = write_deep_heic(
        path, "RGB", bits, np.random.default_rng(1), color_primaries=9, transfer_characteristics=16
    )
    photo = Photo.open(path)
    assert photo.pixels.dtype == np.uint16
    assert abs(photo.pixels / 65535 - levels / (2**bits - 1)).max() < 1e-4  # white is white
    assert abs(photo.rgb - levels * (255.0 / (2**bits - 1))).max() <= 0.6
    photo.filled(photo.rgb, hole_of(photo)).save(out)
    info = pillow_heif.open_heif(out).info
    assert info["bit_depth"] == bits
    assert info["nclx_profile"]["color_primaries"] == 9
    assert info["nclx_profile"]["transfer_characteristics"] == 16
    assert b"Edited by AI" in out.read_bytes()


def test_a_deep_heic_in_other_formats(tmp_path):
    levels = write_deep_heic(tmp_path / "photo.heic", "RGB", 10, np.random.default_rng(1))
    photo = Photo.open(tmp_path / "photo.heic")
    photo.save(tmp_path / "out.png")
    assert np.array_equal(decode(tmp_path / "out.png")[..., ::-1] >> 6, levels)
    photo.save(tmp_path / "out.jpg")
    assert Image.open(tmp_path / "out.jpg").size == (40, 24)


def test_a_grey_deep_heic_keeps_its_levels(tmp_path):
    levels = np.random.default_rng(1).integers(0, 1024, (24, 40)).astype(np.uint16)
    file = pillow_heif.from_bytes("I;16", (40, 24), (levels << 6).tobytes())
    file.save(tmp_path / "photo.heic", quality=-1)
    photo = Photo.open(tmp_path / "photo.heic")
    assert (photo.mode, photo.suffix) == ("L", ".png")
    photo.save(tmp_path / "out.png")
    assert np.array_equal(decode(tmp_path / "out.png") >> 6, levels)


def test_deep_grey_with_a_transparent_level_keeps_both(tmp_path):
    levels = np.random.default_rng(1).integers(0, 65536, (24, 40)).astype(np.uint16)
    levels[3:9, 5:30] = 700
    data = cv2.imencode(".png", levels)[1].tobytes()
    (tmp_path / "photo.png").write_bytes(with_chunk(data, b"tRNS" + struct.pack(">H", 700)))
    photo = Photo.open(tmp_path / "photo.png")
    assert (photo.mode, photo.suffix) == ("LA", ".png")
    photo.save(tmp_path / "out.png")
    written = decode(tmp_path / "out.png")
    assert np.array_equal(written[..., 0], levels)
    assert np.array_equal(written[..., 3], np.where(levels == 700, 0, 65535))


def test_deep_cmyk_is_refused_rather_than_cut_to_eight_bits(tmp_path):
    path = tmp_path / "photo.tif"
    # Pillow and OpenCV write none: 24 x 40 pixels of 8 bytes, then a directory of ten tags.
    tags = [
        (256, 3, 40), (257, 3, 24), (258, 3, 8 + 7680), (259, 3, 1), (262, 3, 5),
        (273, 4, 8), (277, 3, 4), (278, 3, 24), (279, 4, 7680), (284, 3, 1),
    ]  # fmt: skip
    directory = b"".join(
        struct.pack("<HHII", tag, kind, 4 if tag == 258 else 1, value) for tag, kind, value in tags
    )
    start = struct.pack("<2sHI", b"II", 42, 8 + 7680 + 8)
    depths = struct.pack("<4H", 16, 16, 16, 16)
    path.write_bytes(start + bytes(7680) + depths + struct.pack("<H", len(tags)) + directory + bytes(4))
    assert Image.open(path).mode == "CMYK"
    with pytest.raises(ValueError, match="CMYK of 16 bits cannot be read. Save it with 8 bits"):
        Photo.open(path)


@pytest.mark.parametrize("bits", [10, 12])
def test_a_deep_avif_keeps_its_levels_in_a_png(tmp_path, bits):
    levels = np.random.default_rng(1).integers(0, 2**bits, (24, 40, 3)).astype(np.uint16)
    path = tmp_path / "photo.avif"
    cv2.imwrite(str(path), levels, [cv2.IMWRITE_AVIF_DEPTH, bits, cv2.IMWRITE_AVIF_QUALITY, 100])
    photo = Photo.open(path)
    assert photo.suffix == ".png"
    photo.save(tmp_path / "out.png")
    assert np.array_equal(decode(tmp_path / "out.png") >> (16 - bits), decode(path))


def test_colours_are_seen_and_painted_through_the_profile(tmp_path):
    image = Image.new("RGB", (40, 24), (255, 0, 0))
    image.save(tmp_path / "photo.png", icc_profile=swapped_profile())
    photo = Photo.open(tmp_path / "photo.png")
    assert np.array_equal(photo.rgb[0, 0], (0, 0, 255))
    red = np.zeros((24, 40, 3), np.uint8)
    red[..., 0] = 255
    photo.filled(red, hole_of(photo)).save(tmp_path / "out.png")
    written = np.asarray(Image.open(tmp_path / "out.png"))
    assert (written[10, 10] == (0, 0, 255)).all()
    assert (written[0, 0] == (255, 0, 0)).all()


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK"])
def test_a_filled_photo_is_seen_as_if_it_was_read_anew(picture, mode):
    profile = swapped_profile() if "RGB" in mode else None
    pixels = np.array(picture.convert(mode)).reshape(24, 40, len(mode))
    mask = np.zeros((24, 40), bool)
    mask[5:9, 10:30] = True
    photo = Photo(pixels, mode, profile)
    unseen = photo.filled(255 - np.asarray(picture), mask)
    assert photo.rgb.shape == (24, 40, 3)
    seen = photo.filled(255 - np.asarray(picture), mask)
    np.testing.assert_array_equal(seen.pixels, unseen.pixels)
    np.testing.assert_array_equal(seen.rgb, unseen.rgb)


def test_a_profile_for_other_channels_or_a_damaged_one_is_no_obstacle(tmp_path, picture):
    picture.convert("L").save(tmp_path / "grey.png", icc_profile=swapped_profile())
    assert np.array_equal(Photo.open(tmp_path / "grey.png").rgb[..., 1], picture.convert("L"))
    picture.save(tmp_path / "photo.png", icc_profile=b"no profile")
    photo = Photo.open(tmp_path / "photo.png")
    assert np.array_equal(photo.rgb, picture)
    photo.filled(photo.rgb, hole_of(photo)).save(tmp_path / "out.png")
    assert np.array_equal(Image.open(tmp_path / "out.png"), picture)


@pytest.mark.parametrize(("suffix", "deep"), [(".png", False), (".tif", False), (".png", True)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_set_upright(tmp_path, picture, orientation, suffix, deep):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "turned.png", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(tmp_path / "turned.png"))
    path = tmp_path / f"photo{suffix}"
    if deep:
        data = cv2.imencode(".png", np.asarray(picture)[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
        path.write_bytes(with_chunk(data, b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")))
    else:
        picture.save(path, exif=exif)
    photo = Photo.open(path)
    assert photo.pixels.dtype == (np.uint16 if deep else np.uint8)
    assert np.array_equal(photo.rgb, upright)
    photo.save(tmp_path / "out.png")
    assert not Image.open(tmp_path / "out.png").getexif()
    assert np.array_equal(read_photo(tmp_path / "out.png"), upright)
    assert np.array_equal(read_mask(path), np.asarray(upright.convert("L")) > 127)


def with_chunk(png, body):
    """A PNG file with one more chunk, of name and data `body`, after its header."""
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:33] + chunk + png[33:]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".heic", ".tif"])
def test_place_and_camera_are_dropped(tmp_path, picture, suffix):
    exif = Image.Exif()
    exif[0x0110] = "Telltale camera"
    exif.get_ifd(0x8825)[1] = "N"
    picture.save(tmp_path / f"photo{suffix}", exif=exif)
    photo = Photo.open(tmp_path / f"photo{suffix}")
    for out in (f"out{suffix}", f"out{photo.suffix}"):
        photo.save(tmp_path / out)
        assert b"Telltale" not in (tmp_path / out).read_bytes()
        assert not Image.open(tmp_path / out).getexif().get_ifd(0x8825)


def test_a_palette_comes_back_with_its_colours(tmp_path, picture):
    path, out = tmp_path / "photo.png", tmp_path / "out.png"
    palette = picture.quantize(40)
    palette.save(path, transparency=3)
    Photo.open(path).save(out)
    assert np.array_equal(Image.open(out), Image.open(path).convert("RGBA"))
    palette.save(path)
    Photo.open(path).save(out)
    assert np.array_equal(Image.open(out), palette.convert("RGB"))


def test_a_photo_compressed_again_as_it_was_hardly_changes(tmp_path, photo):
    path, out = tmp_path / "photo.jpg", tmp_path / "out.jpg"
    Image.fromarray(photo).save(path, quality=60)
    opened = Photo.open(path)
    opened.save(out)
    change = abs(np.asarray(Image.open(out)).astype(int) - opened.pixels)
    assert change.mean() < 1
    assert out.stat().st_size < 1.2 * path.stat().st_size
    assert opened.suffix == ".png"  # the one that changes nothing


def test_a_format_that_cannot_hold_the_photo(tmp_path, picture):
    see_through = Photo.of(picture.convert("RGBA"))
    with pytest.raises(ValueError, match=r"out\.jpg cannot be written: such a file holds no transparency"):
        see_through.save(tmp_path / "out.jpg")
    assert not (tmp_path / "out.jpg").exists()
    Photo.of(picture.convert("CMYK")).save(tmp_path / "out.png")
    assert Image.open(tmp_path / "out.png").mode == "RGB"
    grey = Photo(np.full((24, 40, 1), 30 * 257, np.uint16), "L")
    grey.save(tmp_path / "out.webp")
    assert (np.asarray(Image.open(tmp_path / "out.webp")) == 30).all()
    with pytest.raises(ValueError, match=r"out\.docx cannot be written; give it the name of a picture"):
        grey.save(tmp_path / "out.docx")


@pytest.mark.parametrize("mode", ["I", "F"])
def test_colours_of_unknown_meaning_are_refused(picture, mode):
    image = picture.convert("L").convert(mode).point(lambda value: value * 1000.0 + 0)
    with pytest.raises(ValueError, match="Save it"):
        Photo.of(image)
