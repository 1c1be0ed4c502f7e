import cv2
import numpy as np
import pytest

from faceinpaint.semantics import CLASSES
from faceinpaint.skin_and_pose import groups_of, skin_tone, yaw

ID = {name: index for index, name in enumerate(CLASSES)}


def skin_colour(lightness, yellow):
    """RGB, 0 to 255, of a colour L*, a* = 10, b*."""
    lab = np.float32([[[lightness, 10, yellow]]])
    return np.rint(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)[0, 0] * 255).astype(np.uint8)


def make_labels(nose=20, size=40):
    """A face of boxes whose nose stands at this x; the eyes stand at 10 and 30."""
    labels = np.full((size, size), ID["skin"], np.uint8)
    labels[10:14, 8:13] = ID["right eye"]
    labels[10:14, 28:33] = ID["left eye"]
    labels[18:24, nose - 2 : nose + 3] = ID["nose"]
    return labels


@pytest.mark.parametrize(("lightness", "yellow", "tone"), [
    (75, 15, "very light"), (65, 14, "light"), (60, 15, "intermediate"), (55, 16, "tan"), (48, 18, "brown"),
    (30, 15, "dark"),
])  # fmt: skip
def test_tones_follow_the_typology_angle(lightness, yellow, tone):
    image = np.broadcast_to(skin_colour(lightness, yellow), (40, 40, 3))
    expected = np.degrees(np.arctan((lightness - 50) / yellow))
    assert skin_tone(image, make_labels()) == pytest.approx(expected, abs=2.5)
    assert groups_of(image, make_labels())[0] == f"skin: {tone}"
    assert skin_tone(image, np.zeros((40, 40), np.uint8)) is None


def test_a_face_that_turns_moves_its_nose_to_one_side():
    assert yaw(make_labels()) == pytest.approx(0, abs=1)
    assert yaw(make_labels(nose=22)) == pytest.approx(yaw(make_labels(nose=18)))
    assert 10 < yaw(make_labels(nose=22)) < yaw(make_labels(nose=25)) < 60
    profile = make_labels()
    profile[profile == ID["left eye"]] = ID["skin"]
    assert yaw(profile) == 90
    assert groups_of(np.full((40, 40, 3), 128), profile)[1] == "pose: far turned (30° and more)"
    assert yaw(np.zeros((40, 40), np.uint8)) is None
