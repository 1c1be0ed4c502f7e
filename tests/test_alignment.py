import io
import math
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from faceinpaint import alignment, face_detector
from faceinpaint.alignment import (
    FaceFrame,
    locate,
    locate_by_layout,
    paste_back,
    share_hole,
    warp_to_frame,
)
from faceinpaint.evaluation.texture import octave_power
from faceinpaint.face_detector import DetectedFace, DetectorUnavailable, FaceDetector
from faceinpaint.semantics import PALETTE, picture_to_layout

SHARED = Path(__file__).resolve().parents[2] / "shared"
YUNET = SHARED / "aids" / "yunet" / face_detector.YUNET_FILE
FACES = SHARED / "data" / "val" / "celebahq-val.tar"
needs_shared = pytest.mark.skipif(
    not (YUNET.exists() and FACES.exists()), reason="needs YuNet and the validation faces of ../shared"
)

# Where the five points of an average face stand in the FFHQ frame: eyes 62 px apart, mouth 65.4 px below,
# so that the frame's half side is 128 by the eyes' rule (2 x 64) when they are 64 apart.
FFHQ_POINTS = np.array([(95.5, 121), (159.5, 121), (127.5, 158), (100.5, 186), (154.5, 186)])


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def turned(degrees, scale, shift):
    """A similarity, 2 x 3."""
    cosine, sine = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    return np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]]])


def place(matrix, points):
    return np.asarray(points) @ matrix[:, :2].T + matrix[:, 2]


def eye_error(frame, matrix):
    """Mean distance of the two eyes as `frame` sees them from where `matrix` put them, in eye distances."""
    eyes = FFHQ_POINTS[:2]
    return np.linalg.norm(frame.to_frame(place(matrix, eyes)) - eyes, axis=1).mean() / 64


def drawn_layout():
    """The colours of a plain frontal face's layout, 256 x 256 x 3."""
    layout = np.zeros((256, 256), np.uint8)
    cv2.ellipse(layout, (128, 128), (95, 118), 0, 0, 360, 13, -1)
    cv2.ellipse(layout, (128, 141), (66, 95), 0, 0, 360, 1, -1)
    for x, y, width, height, class_id in (
        (96, 122, 10, 5, 5), (159, 122, 10, 5, 4), (95, 106, 18, 5, 7), (160, 106, 18, 5, 6),
        (128, 147, 15, 28, 2), (128, 188, 28, 7, 11), (128, 197, 24, 6, 12),
    ):  # fmt: skip
        cv2.ellipse(layout, (x, y), (width, height), 0, 0, 360, class_id, -1)
    return PALETTE[layout]


class Decoder:
    """Stands in for the layout generator: reads the class off the colour, and counts its crops."""

    # The nearest class to every 8th colour: far faster than to ask for each crop anew.
    steps = np.arange(4, 256, 8, dtype=np.uint8)
    nearest = picture_to_layout(
        np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(1, -1, 3)
    ).reshape(32, 32, 32)

    def __init__(self):
        self.crops = 0

    def __call__(self, faces, unknown):
        assert faces.shape[1:] == (256, 256, 3)
        assert unknown.shape == faces.shape[:3]
        assert unknown.dtype == bool
        self.crops += len(faces)
        red, green, blue = np.moveaxis(faces >> 3, -1, 0)
        return self.nearest[red, green, blue]


def centres(layout, unknown):
    """Places of the parts of a drawn face by class, those that touch a hole left out."""
    places = {}
    for part in (2, 4, 5, 6, 7, 11, 12):
        y, x = np.nonzero(layout == part)
        if len(x) > 20 and not unknown[y.min() - 2 : y.max() + 3, x.min() - 2 : x.max() + 3].any():
            places[part] = complex(x.mean() + 0.5, y.mean() + 0.5) / 128 - (1 + 1j)
    return places


def fit_parts(faces, unknown):
    """Stands in for the frame regressor: fits the parts of a drawn face to where they were drawn."""
    drawn = centres(picture_to_layout(drawn_layout()), np.zeros((256, 256), bool))
    found = []
    for layout, hole, flip in zip(Decoder()(faces, unknown), unknown, (1, -1), strict=True):
        places = centres(layout[:, ::flip], hole[:, ::flip])
        if len(places) < 2:
            found.append((1, 0))
            continue
        here, there = np.array(list(places.values())), np.array([drawn[part] for part in places])
        away = here - here.mean()
        factor = (np.conj(away) * (there - there.mean())).sum() / (abs(away) ** 2).sum()
        offset = there.mean() - factor * here.mean()
        # In the mirror, x runs the other way.
        found.append((factor, offset) if flip == 1 else (np.conj(factor), -np.conj(offset)))
    return np.array(found).T


def stay(faces, unknown):
    """A frame regressor that finds every face in its place."""
    return np.ones(len(faces), complex), np.zeros(len(faces), complex)


def test_an_aligned_picture_passes_through_unchanged():
    photo, empty = noise(256, 256), np.zeros((256, 256), bool)
    frame = FaceFrame.whole(256, 256)
    aligned, unknown = warp_to_frame(photo, empty, frame)
    assert np.array_equal(aligned, photo)
    assert not unknown.any()
    result, left = paste_back(photo, empty, noise(256, 256, 1), frame)
    assert np.array_equal(result, photo)
    assert not left.any()


def test_an_aligned_picture_keeps_its_hole_and_takes_its_fill_exactly():
    photo, face = noise(256, 256), noise(256, 256, 1)
    hole = np.zeros((256, 256), np.uint8)
    hole[40:90, 100:200] = 255
    frame = FaceFrame.whole(256, 256)
    assert np.array_equal(warp_to_frame(photo, hole, frame)[1], hole > 0)
    wanted = np.where(hole[..., None] > 0, face, photo)
    result, left = paste_back(np.where(hole[..., None] > 0, 9, photo).astype(np.uint8), hole, wanted, frame)
    assert np.array_equal(result, wanted)
    assert not left.any()


@pytest.mark.parametrize("side", [100, 128, 512, 1000, 2600])
def test_a_whole_picture_of_any_size_is_all_known(side):
    photo = np.full((side, side, 3), 90, np.uint8)
    aligned, unknown = warp_to_frame(photo, np.zeros((side, side), bool), FaceFrame.whole(side, side))
    assert not unknown.any()
    assert (aligned == 90).all()


def test_an_oblong_whole_picture_is_cut_to_its_central_square():
    photo = noise(256, 356)
    aligned, unknown = warp_to_frame(photo, np.zeros((256, 356), bool), FaceFrame.whole(356, 256))
    assert np.array_equal(aligned, photo[:, 50:306])
    assert not unknown.any()


@pytest.mark.parametrize(("degrees", "scale"), [(0, 1), (30, 2.3), (-30, 0.6), (170, 5)])
def test_landmarks_come_to_their_ffhq_places(degrees, scale):
    matrix = turned(degrees, scale, (311.3, 87.8))
    frame = FaceFrame.from_landmarks(place(matrix, FFHQ_POINTS))
    # The published frame's centre is a tenth of the way from the eyes to the mouth, here at 127.5.
    assert np.allclose(frame.to_frame(place(matrix, FFHQ_POINTS)), FFHQ_POINTS, atol=0.5)
    assert np.allclose(frame.to_photo(frame.to_frame(FFHQ_POINTS)), FFHQ_POINTS)


def test_the_frame_is_the_published_quad():
    left_eye, right_eye, nose, left_mouth, right_mouth = landmarks = np.array(
        [(310.0, 240), (371, 226), (352, 270), (330, 312), (380, 301)]
    )
    # As in the FFHQ data set's download_ffhq.py.
    eye_avg, eye_to_eye = (left_eye + right_eye) * 0.5, right_eye - left_eye
    eye_to_mouth = (left_mouth + right_mouth) * 0.5 - eye_avg
    x = eye_to_eye - np.flipud(eye_to_mouth) * [-1, 1]
    x /= np.hypot(*x)
    x *= max(np.hypot(*eye_to_eye) * 2.0, np.hypot(*eye_to_mouth) * 1.8)
    y = np.flipud(x) * [-1, 1]
    c = eye_avg + eye_to_mouth * 0.1
    quad = np.stack([c - x - y, c - x + y, c + x + y, c + x - y])
    corners = FaceFrame.from_landmarks(landmarks, 512).to_frame(quad)
    assert np.allclose(corners, np.array([(0, 0), (0, 512), (512, 512), (512, 0)]) - 0.5, atol=1e-6)


def test_landmarks_in_one_point_are_refused_kindly():
    with pytest.raises(ValueError, match="crop it"):
        FaceFrame.from_landmarks(np.full((5, 2), 7.0))


@pytest.mark.parametrize("side", [0, -50, float("nan")])
def test_a_frame_without_a_width_is_refused(side):
    with pytest.raises(ValueError, match="wider than nothing"):
        FaceFrame.square(10, 10, side)


def test_a_very_wide_photo_has_frames_too():
    """OpenCV 4 warps no picture of more than 32,767 pixels a side."""
    frame = FaceFrame.square(35_000.5, 49.5, 64)
    area = np.zeros((100, 40_000), bool)
    area[:, 35_001:] = True
    assert frame.covered(area).sum() == 64 * 32
    inside = frame.area_in_face(area)
    assert not inside[:, :126].any() and inside[:, 130:].all()


def test_pixels_beyond_the_photo_are_unknown():
    photo = noise(100, 120)
    # The frame is the photo's scale and sticks out 78 px above and below, 68 px left and right.
    aligned, unknown = warp_to_frame(photo, np.zeros((100, 120)), FaceFrame.square(59.5, 49.5, 256))
    expected = np.ones((256, 256), bool)
    expected[78:178, 68:188] = False
    assert np.array_equal(unknown, expected)
    assert np.array_equal(aligned[78:178, 68:188], photo)
    assert np.array_equal(aligned[77, 68:188], photo[0])  # mirrored, not black


@pytest.mark.parametrize("turns", range(4))
def test_where_the_frame_cuts_a_hole_off_it_mirrors_what_lies_beyond(turns):
    photo, hole = noise(300, 300), np.zeros((300, 300), bool)
    hole[120:180, 22:90] = True
    photo, hole = np.rot90(photo, turns), np.rot90(hole, turns)
    aligned, unknown = warp_to_frame(photo, hole, FaceFrame.square(149.5, 149.5, 256))
    aligned, unknown, photo = (np.rot90(each, -turns) for each in (aligned, unknown, photo))
    expected = np.zeros((256, 256), bool)
    expected[98:158, 4:68] = True
    assert np.array_equal(unknown, expected)
    assert np.array_equal(aligned[98:158, :4], photo[120:180, 21:17:-1])


def test_what_is_hidden_beyond_the_frame_too_stays_unknown():
    photo, hole = noise(300, 300), np.zeros((300, 300), bool)
    hole[120:180, 20:90] = True
    aligned, unknown = warp_to_frame(photo, hole, FaceFrame.square(149.5, 149.5, 256))
    assert unknown[98:158, :2].all()
    assert not unknown[98:158, 2:4].any()
    assert np.array_equal(aligned[98:158, 2:4], photo[120:180, 19:17:-1])


def test_a_frame_beside_the_photo_is_all_unknown():
    assert warp_to_frame(noise(50, 50), np.zeros((50, 50)), FaceFrame.square(900, 900, 100))[1].all()


@pytest.mark.parametrize("scale", [0.4, 1.0, 1.7, 3.3, 9.0])
def test_what_the_hole_hides_does_not_leak(scale):
    """`scale`: photo pixels to a pixel of the aligned face."""
    side = round(300 * scale)
    matrix = turned(17, scale, (60 * scale, 10 * scale))
    frame = FaceFrame.from_landmarks(place(matrix, FFHQ_POINTS))
    photo = np.full((side, side, 3), 200, np.uint8)
    hole = np.zeros((side, side), bool)
    rows, columns = np.random.default_rng(3).integers(0, side, (2, 25))
    hole[rows, columns] = True  # single pixels are the easiest to overlook
    hole[side // 2 : side // 2 + max(2, side // 8), side // 3 : side // 2] = True
    first, unknown = warp_to_frame(photo, hole, frame)
    photo[hole] = noise(side, side)[hole]
    second, unknown_again = warp_to_frame(photo, hole, frame)
    assert np.array_equal(first, second)
    assert np.array_equal(unknown, unknown_again)
    # Nor does the hole itself: known pixels are what they are with no hole.
    assert abs(first[~unknown].astype(int) - 200).max() <= 1
    inside = place(frame.matrix, np.column_stack([columns, rows])).round().astype(int)
    inside = inside[((inside >= 0) & (inside < 256)).all(axis=1)]
    assert len(inside) > 5
    assert unknown[inside[:, 1], inside[:, 0]].all()


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5, 7.0])
def test_align_and_paste_back_round_trip(scale):
    side = round(330 * scale)
    y, x = np.mgrid[:side, :side] / scale
    photo = np.stack([127 + 100 * np.sin(x / 9), 127 + 100 * np.cos(y / 11), (x + y) / 3], -1).astype(
        np.uint8
    )
    matrix = turned(-12, scale, (25 * scale, 60 * scale))
    frame = FaceFrame.from_landmarks(place(matrix, FFHQ_POINTS))
    face, unknown = warp_to_frame(photo, np.zeros((side, side)), frame)
    assert not unknown[20:-20, 20:-20].any()
    hole = np.zeros((side, side), bool)
    hole[side // 3 : side // 2, side // 3 : side * 2 // 3] = True
    damaged = photo.copy()
    damaged[hole] = 0
    result, left = paste_back(damaged, hole, face, frame)
    assert not left.any()
    assert np.array_equal(result[~hole], photo[~hole])
    error = abs(result[hole].astype(int) - photo[hole])
    # No half-pixel slip: one would cost some 5 levels of the sine.
    assert error.mean() < 1.5


def test_the_hole_beyond_the_frame_is_reported_and_left():
    face = np.full((256, 256, 3), 5, np.uint8)
    hole = np.zeros((300, 400), bool)
    hole[:, 150:] = True
    photo = np.where(hole[..., None], noise(300, 400), np.uint8(5))
    result, left = paste_back(photo, hole, face, FaceFrame.square(127.5, 149.5, 256))
    assert np.array_equal(result[left | ~hole], photo[left | ~hole])
    assert (result[hole & ~left] == 5).all()
    assert not left[22:278, 150:256].any()
    assert left[:22, 150:].all()
    assert left[:, 256:].all()


def test_a_hole_is_shared_out_to_the_nearest_face_in_proportion_to_its_size():
    mask = np.zeros((200, 400), bool)
    mask[60:140, 20:] = True
    large, small = FaceFrame.square(100, 100, 240), FaceFrame.square(250, 100, 120)
    columns = np.arange(400)
    # Of the 150 pixels between their centres two thirds are the larger one's; its frame ends at 220.
    for frames, own in (([large, small], (columns > 200) & (columns < 310)), ([small, large], columns < 200)):
        first, second = share_hole(mask, frames)
        assert np.array_equal(first, mask) and not (second & ~mask).any()
        clear = (abs(columns - 200) > 2) & (abs(columns - 310) > 2)
        assert np.array_equal(second[100, clear], (own & mask[100])[clear])
    assert share_hole(mask, [large]) == [mask]


def test_a_detector_file_that_is_not_yunet_is_refused(tmp_path, monkeypatch):
    wrong = tmp_path / face_detector.YUNET_FILE
    wrong.write_bytes(b"not a network")
    with pytest.raises(DetectorUnavailable, match="as published"):
        FaceDetector(wrong)
    monkeypatch.setenv("FACEINPAINT_YUNET", str(tmp_path / "missing.onnx"))
    with pytest.raises(DetectorUnavailable, match="can't be read"):
        FaceDetector()


def test_no_network_means_no_detector(monkeypatch):
    def offline(*args, **options):
        raise ConnectionError("no route to host")

    monkeypatch.delenv("FACEINPAINT_YUNET", raising=False)
    for name in "get_hf_file_metadata", "hf_hub_download":
        monkeypatch.setattr(face_detector, name, offline)
    # Though the page may have run on this machine before.
    monkeypatch.setattr(face_detector, "try_to_load_from_cache", lambda *args, **options: None)
    with pytest.raises(DetectorUnavailable, match="downloaded"):
        FaceDetector()


def validation_faces(count):
    with tarfile.open(FACES) as tar:
        names = sorted(name for name in tar.getnames() if name.endswith(".webp"))[::10][:count]
        return [np.array(Image.open(io.BytesIO(tar.extractfile(n).read())).convert("RGB")) for n in names]


@pytest.mark.parametrize("step", [1, 2.05, 4.1])
def test_a_face_keeps_its_fine_structure_when_it_is_brought_into_its_frame(step):
    size = round(128 * step)
    spectrum = np.fft.fft2(np.random.default_rng(0).standard_normal((size + 40, size + 40)))
    frequency = np.hypot(np.fft.fftfreq(size + 40)[:, None], np.fft.fftfreq(size + 40))
    noise = np.fft.ifft2(spectrum / np.maximum(frequency, 1 / size)).real  # as the structure of photos
    photo = np.clip(128 + 30 * noise / noise.std(), 0, 255).round().astype(np.uint8)[..., None].repeat(3, 2)
    middle = (size + 39) / 2
    to_frame = turned(3, 1 / step, (63.5, 63.5))
    to_frame[:, 2] -= to_frame[:, :2] @ (middle, middle)
    aligned, _ = warp_to_frame(photo, np.zeros(photo.shape[:2]), FaceFrame(to_frame, 128))
    small = Image.fromarray(photo).resize((round((size + 40) / step),) * 2, Image.Resampling.LANCZOS)

    def finest(picture):
        grey = np.asarray(picture)[..., 0].astype(float)
        corners = [(y, x) for y in (16, 48, 80) for x in (16, 48, 80)]
        return octave_power([grey[y : y + 32, x : x + 32] for y, x in corners])[:, 3].mean()

    assert 0.75 < finest(aligned) / finest(small) < 1.3


def test_a_widened_frame_holds_the_face_and_the_points_but_is_not_wider_than_asked():
    frame = FaceFrame(turned(20, 0.5, (90, -30)))
    square = [(-0.5, -0.5), (255.5, 255.5)]
    for points, most, held in (
        ([(300, 40)], 2, True),
        ([(-60, 500), (290, 10)], 3, True),
        ([(128, 900)], 2, False),
        ([(100, 100)], 2, True),
    ):
        wider = frame.widened(frame.to_photo(points), most, margin=10)
        there = wider.to_frame(frame.to_photo(square + points))
        assert wider.size == frame.size and wider.side <= most * frame.side * (1 + 1e-9)
        assert (there[:2] >= -0.51).all() and (there[:2] <= 255.51).all()
        margin = 10 * frame.side / wider.side
        inside = (there[2:] >= margin - 0.51).all() and (there[2:] <= 255.51 - margin).all()
        assert inside == held
        # Set upright as the face is.
        scale = frame.side / wider.side
        np.testing.assert_allclose(wider.matrix[:, :2], scale * frame.matrix[:, :2])
    assert frame.widened(frame.to_photo([(100, 100)]), 2, 10).apart(frame) < 1e-9


@needs_shared
@pytest.mark.parametrize(("quarter_turn", "share"), [(0, 0.95), (90, 0.9), (180, 0.9), (270, 0.9)])
def test_yunet_finds_faces_at_any_scale_and_tilt(quarter_turn, share):
    detector = FaceDetector(YUNET)
    random = np.random.default_rng(5)
    good = 0
    faces = validation_faces(20)
    for face in faces:
        # The same face upright and by itself is the reference: YuNet's own idea of where it stands.
        alone = cv2.copyMakeBorder(face, 64, 64, 64, 64, cv2.BORDER_REFLECT_101)
        reference = FaceFrame.from_landmarks(detector.detect(alone)[0].landmarks - 64)
        scale, degrees = math.exp(random.uniform(math.log(0.4), math.log(2))), random.uniform(-30, 30)
        degrees += quarter_turn
        side = 362 * scale  # holds the face at any tilt
        corner = random.uniform(0, (1000 - side, 750 - side))
        to_origin = turned(degrees, scale, (0, 0))
        shift = corner + side / 2 - place(to_origin, [(127.5, 127.5)])[0]
        matrix = turned(degrees, scale, shift)
        canvas = np.full((750, 1000, 3), 110, np.uint8)
        cv2.warpAffine(face, matrix, (1000, 750), canvas, cv2.INTER_AREA, cv2.BORDER_TRANSPARENT)
        found = detector.detect(canvas)
        if found:
            frame = FaceFrame.from_landmarks(found[0].landmarks)
            points = reference.to_photo(FFHQ_POINTS)  # in the coordinates of the 256 x 256 face
            error = np.linalg.norm(frame.to_frame(place(matrix, points)) - FFHQ_POINTS, axis=1).mean() / 64
            good += error < 0.06
    assert good >= share * len(faces)


@needs_shared
def test_yunet_looks_closely_once_at_an_upright_face_and_twice_at_a_tilted_one(monkeypatch):
    detector = FaceDetector(YUNET)
    looks = []
    look = detector._look
    monkeypatch.setattr(detector, "_look", lambda *arguments: looks.append(1) or look(*arguments))
    face = cv2.copyMakeBorder(validation_faces(1)[0], 64, 64, 64, 64, cv2.BORDER_REFLECT_101)
    counts = []
    for degrees in (0, 30):
        turn = cv2.getRotationMatrix2D((191.5, 191.5), degrees, 1)
        detector.detect(cv2.warpAffine(face, turn, (384, 384), borderMode=cv2.BORDER_REFLECT_101))
        counts.append(len(looks) - sum(counts))
    # The first one finds the face; a close look is a plain and a mirrored one.
    assert counts == [1 + 2, 1 + 4]


@needs_shared
def test_yunet_does_not_look_into_the_hole():
    detector = FaceDetector(YUNET)
    photo = validation_faces(1)[0]
    hole = np.zeros((256, 256), np.uint8)
    hole[100:150, 60:200] = 1
    first = detector.detect(photo, hole)
    assert len(first) == 1
    photo[hole > 0] = noise(256, 256)[hole > 0]
    assert np.array_equal(first[0].landmarks, detector.detect(photo, hole)[0].landmarks)


@needs_shared
def test_yunet_copes_with_tiny_and_huge_pictures():
    detector = FaceDetector(YUNET)
    assert detector.detect(noise(8, 5)) == []
    face = cv2.resize(validation_faces(1)[0], (2400, 2400), interpolation=cv2.INTER_CUBIC)
    (found,) = detector.detect(face)
    assert eye_error(FaceFrame.from_landmarks(found.landmarks), turned(0, 2400 / 256, (4.2, 4.2))) < 0.15


@pytest.mark.parametrize(
    ("height", "width", "degrees", "scale", "centre"),
    [
        (256, 256, 0, 1.0, (128, 128)),
        (600, 480, 12, 1.5, (230, 260)),
        (500, 800, -15, 1.3, (520, 240)),
        (900, 900, 8, 1.6, (610, 330)),
        (256, 256, 5, 1.25, (128, 120)),
    ],
)
@pytest.mark.parametrize("with_hole", [False, True])
def test_the_layout_alone_finds_the_face(height, width, degrees, scale, centre, with_hole):
    shift = np.array(centre) - place(turned(degrees, scale, (0, 0)), [(127.5, 127.5)])[0]
    matrix = turned(degrees, scale, shift)
    photo = cv2.warpAffine(drawn_layout(), matrix, (width, height), flags=cv2.INTER_NEAREST,
                           borderValue=PALETTE[0].tolist())  # fmt: skip
    hole = np.zeros((height, width), bool)
    if with_hole:  # one eye and its brow
        x, y = place(matrix, [(159, 115)])[0].astype(int)
        reach = round(24 * scale)
        hole[max(0, y - reach) : y + reach, x - reach : x + reach] = True
    parse = Decoder()
    (frame,) = locate_by_layout(photo, hole, parse, fit_parts)
    assert eye_error(frame, matrix) < 0.06
    assert parse.crops <= 40


def test_no_face_is_said_in_plain_words():
    photo = np.tile(PALETTE[18], (300, 400, 1))
    assert locate_by_layout(photo, np.zeros((300, 400)), Decoder(), stay) == []
    with pytest.raises(ValueError, match="No face was found in this picture"):
        locate(photo, np.zeros((300, 400)), Decoder(), stay)


def test_a_face_that_is_made_up_is_not_found():
    """Where hardly anything is seen the layout generator makes up a face, wherever it looks."""
    made_up = picture_to_layout(drawn_layout())
    photo, hole = np.full((300, 400, 3), 90, np.uint8), np.ones((300, 400), bool)
    hole[0, 0] = False

    def parse(faces, unknown):
        return np.stack([made_up] * len(faces))

    assert locate_by_layout(photo, ~hole, parse, stay)
    assert locate_by_layout(photo, hole, parse, stay) == []


def drawn_faces(*places):
    """A 300 x 900 photo of the drawn face at those x, and their matrices."""
    photo, matrices = np.zeros((300, 900, 3), np.uint8), [turned(0, 1, (x, 20)) for x in places]
    for matrix in matrices:
        cv2.warpAffine(drawn_layout(), matrix, (900, 300), photo, cv2.INTER_NEAREST, cv2.BORDER_TRANSPARENT)
    return photo, matrices


def eye_hole(matrix):
    """The 300 x 900 hole over the eye on the right of a drawn face, H x W bool."""
    x, y = place(matrix, [(159, 115)])[0].astype(int)
    hole = np.zeros((300, 900), bool)
    hole[y - 24 : y + 24, x - 24 : x + 24] = True
    return hole


def test_every_face_that_the_hole_touches_is_found_by_layout():
    photo, (left, middle, right) = drawn_faces(20, 300, 600)
    hole = eye_hole(left) | eye_hole(right)
    hole[190:240, 600 + 35 : 600 + 90] = True  # a cheek, too: the right one is hidden most
    parse = Decoder()
    main, other = locate_by_layout(photo, hole, parse, fit_parts)
    assert eye_error(main, right) < 0.06
    assert eye_error(other, left) < 0.06
    assert parse.crops <= 45
    found = locate_by_layout(photo, hole | eye_hole(middle), Decoder(), fit_parts)
    assert len(found) == 3


def test_beneath_the_hole_the_layout_finds_the_face_that_is_painted_over():
    photo, (left, right) = drawn_faces(20, 600)
    for face in (left, right):
        hole = cv2.warpAffine(np.ones((256, 256), np.uint8), face, (900, 300)) > 0
        (found,) = locate(photo, hole, Decoder(), fit_parts, beneath=True)
        assert eye_error(found, face) < 0.06


@pytest.mark.parametrize("far", [False, True])
def test_a_hole_beyond_the_only_face_makes_up_no_other(far):
    photo, (face,) = drawn_faces(20)
    hole = eye_hole(face)
    alone = Decoder()
    (expected,) = locate_by_layout(photo, hole, alone, fit_parts)
    hole[100:180, 600 if far else 180 : 700] = True
    parse = Decoder()
    (found,) = locate_by_layout(photo, hole, parse, fit_parts)
    assert found.apart(expected) < 0.01
    assert parse.crops <= alone.crops + 28


def test_the_more_of_a_face_is_hidden_the_more_its_parts_pull_the_frame():
    there = turned(6, 1.08, (4, -7))
    photo = cv2.warpAffine(drawn_layout(), there, (256, 256), flags=cv2.INTER_NEAREST)
    start = FaceFrame.whole(256, 256)
    face = cv2.ellipse(np.zeros((256, 256)), (128, 141), (66, 95), 0, 0, 360, 1, -1)

    def parse(faces, unknown):
        # As the networks do, it sees the face in the hole.
        return Decoder()(photo[None], unknown)

    shares = []
    for bottom in (160, 256):
        hole = np.zeros((256, 256), bool)
        hole[110:bottom, 143:205] = True  # an eye and its brow; that and half of the mouth
        closer = alignment.align_parts(photo, hole, parse, start)
        shares.append(1 - eye_error(closer, there) / eye_error(start, there))
        assert abs(shares[-1] - hole[face > 0].mean()) < 0.05
    assert shares[1] > shares[0] + 0.05


def test_a_face_of_which_much_is_hidden_is_aligned_in_two_rounds():
    there = turned(6, 1.08, (4, -7))
    photo = cv2.warpAffine(drawn_layout(), there, (256, 256), flags=cv2.INTER_NEAREST)
    start = FaceFrame.whole(256, 256)
    chin = np.zeros((256, 256), bool)
    chin[215:] = True
    all_but_parts = np.ones((256, 256), bool)
    all_but_parts[90:215, 82:184] = False
    for hole, rounds in ((chin, 1), (all_but_parts, 2)):
        parse = Decoder()
        found = alignment.align_hidden(photo, hole, parse, stay, start)
        assert parse.crops == rounds
        once = alignment.align_parts(photo, hole, Decoder(), start)
        closer = eye_error(found, there) < 0.95 * eye_error(once, there)
        assert closer == (rounds == 2)


def test_a_whole_face_stays_and_so_does_one_whose_layout_tells_nothing():
    frame, hole = FaceFrame.whole(256, 256), np.zeros((256, 256), bool)
    parse = Decoder()
    assert alignment.align_parts(drawn_layout(), hole, parse, frame) is frame
    assert parse.crops == 0
    hole[100:150] = True
    assert alignment.align_parts(noise(256, 256), hole, parse, frame) is frame
    assert parse.crops == 1


class TwoFaces:
    """Stands in for the detector: a large face left, a small one right."""

    def detect(self, photo, mask=None, choose=None):
        large, small = turned(0, 1.5, (20, 50)), turned(0, 0.7, (560, 120))
        faces = [
            DetectedFace(np.array([*place(m, [(60, 40)])[0], 136 * m[0, 0], 190 * m[0, 0]]),
                         place(m, FFHQ_POINTS), 0.9)
            for m in (large, small)
        ]  # fmt: skip
        return choose(faces) if choose else faces


def test_the_faces_under_the_hole_are_chosen():
    photo, hole = np.zeros((500, 800, 3), np.uint8), np.zeros((500, 800), bool)
    large, small = (FaceFrame.from_landmarks(face.landmarks) for face in TwoFaces().detect(photo))
    for box, expected in (
        (np.s_[:0], [large]),  # nothing hidden: the largest
        (np.s_[200:230, 640:660], [small]),
        (np.s_[100:300, 150:300], [large, small]),  # both by now; the one that is hidden most is the main one
    ):
        hole[box] = True
        found = locate(photo, hole, Decoder(), stay, TwoFaces())
        assert len(found) == len(expected)
        assert all(np.allclose(a.matrix, b.matrix) for a, b in zip(found, expected, strict=True))


def test_only_faces_under_the_hole_are_looked_at_closely(monkeypatch):
    detector, looked_at = FaceDetector.__new__(FaceDetector), []
    monkeypatch.setattr(detector, "_look", lambda picture, matrix: TwoFaces().detect(None))
    monkeypatch.setattr(detector, "_refine", lambda photo, hidden, face: looked_at.append(face) or face)
    photo, hole = np.zeros((500, 800, 3), np.uint8), np.zeros((500, 800), bool)
    for area, count in ((np.s_[:0], 1), (np.s_[200:230, 640:660], 1), (np.s_[100:300, 150:300], 2)):
        looked_at.clear()
        hole[area] = True
        locate(photo, hole, Decoder(), stay, detector)
        assert len(looked_at) == count


def test_a_face_that_the_detector_missed_is_found_by_layout():
    class Blind:
        def detect(self, photo, mask=None, choose=None):
            return []

    (frame,) = locate(drawn_layout(), np.zeros((256, 256)), Decoder(), stay, Blind())
    assert eye_error(frame, turned(0, 1, (0, 0))) < 0.06
