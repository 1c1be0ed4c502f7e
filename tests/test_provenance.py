import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from faceinpaint.photos import Photo
from faceinpaint.provenance import NOTICE, XMP

MASK = np.zeros((20, 30), bool)
MASK[5:9, 5:9] = True
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".tif", ".heic"])
@pytest.mark.parametrize("hole", [True, False])
def test_a_file_says_in_its_metadata_whether_ai_edited_it(tmp_path, suffix, hole):
    Photo.of(PIXELS).filled(255 - PIXELS, MASK & hole).save(tmp_path / f"face{suffix}")
    assert (XMP.encode() in (tmp_path / f"face{suffix}").read_bytes()) == hole


def test_so_does_a_png_of_16_bit_colours(tmp_path):
    photo = Photo(PIXELS.astype(np.uint16) * 257, "RGB", format="PNG")
    photo.filled(255 - PIXELS, MASK).save(tmp_path / "face.png")
    with Image.open(tmp_path / "face.png") as picture:
        picture.load()
        assert picture.info["XML:com.adobe.xmp"] == XMP
    np.testing.assert_array_equal(Photo.open(tmp_path / "face.png").pixels[~MASK], photo.pixels[~MASK])


def test_a_png_says_it_in_plain_words_too(tmp_path):
    Photo.of(PIXELS).filled(255 - PIXELS, MASK).save(tmp_path / "face.png")
    with Image.open(tmp_path / "face.png") as picture:
        assert picture.info["Description"] == NOTICE


def test_the_xmp_packet_is_well_formed():
    (description,) = ET.fromstring(XMP)[0]
    source = description.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")
    assert source.endswith("/compositeWithTrainedAlgorithmicMedia")
