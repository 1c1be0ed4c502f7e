import xml.etree.ElementTree as ET

import numpy as np
from PIL import Image

from faceinpaint.provenance import NOTICE, XMP, save_png


def test_a_png_says_in_its_metadata_that_ai_edited_it(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    save_png(Image.fromarray(pixels), tmp_path / "face.png")
    with Image.open(tmp_path / "face.png") as picture:
        np.testing.assert_array_equal(picture, pixels)
        assert picture.info["Description"] == NOTICE
        assert picture.info["XML:com.adobe.xmp"] == XMP


def test_the_xmp_packet_is_well_formed():
    (description,) = ET.fromstring(XMP)[0]
    source = description.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")
    assert source.endswith("/compositeWithTrainedAlgorithmicMedia")
