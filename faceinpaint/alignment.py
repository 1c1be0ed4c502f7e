"""Find a face, bring it into the FFHQ frame, paste it back.

Coordinates are (x, y) in pixels with pixel centres at whole numbers: a W x H picture covers
[-0.5, W - 0.5] x [-0.5, H - 0.5]. Pictures are H x W x 3 uint8 RGB, masks H x W with nonzero = hole.
What the hole hides influences nothing here but where faces are found, and that only with `beneath=True`.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from .detail import around, carry_detail, match_edge, soften_enlarged
from .flow import add_strands_enlarged, comb_enlarged
from .semantics import MEAN_CENTRES, MOUTH, class_ids

FACE_SIZE = 256
"""Side of the aligned face that the networks work on, in pixels."""

_EYES = np.array([MEAN_CENTRES["right eye"], MEAN_CENTRES["left eye"]])
"""Where the eyes are on average in the frame of the networks."""

STRIP = 4 / 256
"""Where the frame cuts a hole off, a strip of so much of its side shows what the photo has beyond, mirrored.

Else background, hair and clothes would not go on from there. Of 68 halves of faces in 34 photos, seen with a
margin around the frame, LPIPS and PSNR are 0.1237 and 19.7 dB without it, 0.1112 and 20.9 dB with 4 of 256
pixels, 0.1114 and 20.7 dB with 6, 0.1174 and 20.1 dB with 11: the wider, the more clothes are mirrored.
"""

LOOKS = 3
"""How often a face is aligned anew, each time from where it was found."""

MUCH_HIDDEN = 0.3
"""Hidden share of a face from which on it is aligned in two rounds."""

NEAR = 0.06
"""Largest error of a frame that counts as found, in distances between the eyes."""

NO_FACE = "No face was found in this picture. Point it out, or crop it so that the face fills most of it."


@dataclass(frozen=True, eq=False)
class FaceFrame:
    """Where the aligned face lies in the photo.

    Attributes:
        matrix: 2 x 3 float64 similarity from photo pixels to pixels of the aligned face.
        size: side of the aligned face in pixels.
    """

    matrix: np.ndarray
    size: int = FACE_SIZE

    @classmethod
    def from_landmarks(cls, landmarks, size=FACE_SIZE):
        """The crop of CelebA-HQ and FFHQ (Karras et al. 2018, appendix C; 2019, section A) around 5 points.

        Args:
            landmarks: 5 x 2 photo coordinates: the eye on the left of the picture, the eye on its right,
                the nose, the mouth corner on the left of the picture, the one on its right (YuNet's order).
            size: side of the aligned face in pixels.

        Raises:
            NoFaceFound: the points fall together, so they span no face.
        """
        left_eye, right_eye, _, left_mouth, right_mouth = np.asarray(landmarks, dtype=np.float64)
        eye_average = (left_eye + right_eye) / 2
        eye_to_eye = right_eye - left_eye
        eye_to_mouth = (left_mouth + right_mouth) / 2 - eye_average
        # Published as np.flipud(v) * [-1, 1]: a quarter turn that takes "down" to "left".
        axis = eye_to_eye - eye_to_mouth[::-1] * (-1, 1)
        half_side = max(math.hypot(*eye_to_eye) * 2.0, math.hypot(*eye_to_mouth) * 1.8)
        length = math.hypot(*axis)
        if not (math.isfinite(half_side) and length > 1e-6):
            raise NoFaceFound("The eyes and the mouth of the face could not be told apart. " + NO_FACE)
        cosine, sine = axis / length
        turn = np.array([[cosine, sine], [-sine, cosine]])
        return cls._around(eye_average + eye_to_mouth * 0.1, turn * (size / (2 * half_side)), size)

    @classmethod
    def from_eyes_and_mouth(cls, eye, other_eye, mouth):
        """The frame around a face that was pointed out: three places (x, y), the eyes in any order.

        Raises:
            ValueError: see `from_landmarks`.
        """
        eye, other_eye, mouth = (np.asarray(place, dtype=np.float64) for place in (eye, other_eye, mouth))
        (across_x, across_y), (down_x, down_y) = other_eye - eye, mouth - eye
        if across_x * down_y < across_y * down_x:
            eye, other_eye = other_eye, eye
        return cls.from_landmarks([eye, other_eye, mouth, mouth, mouth])

    @classmethod
    def whole(cls, width, height):
        """The frame of a picture that already is an aligned face; of an oblong one, its central square."""
        return cls.square((width - 1) / 2, (height - 1) / 2, min(width, height))

    @classmethod
    def square(cls, x, y, side):
        """The upright frame around (x, y), `side` photo pixels wide; ValueError if that is nothing."""
        if not side > 0:
            raise ValueError("A frame must be wider than nothing.")
        centre = np.array([x, y], dtype=np.float64)
        return cls._around(centre, np.eye(2) * (FACE_SIZE / side), FACE_SIZE)

    @classmethod
    def _around(cls, centre, linear, size):
        offset = (size - 1) / 2 - linear @ centre
        return cls(np.column_stack([linear, offset]), size)

    def resized(self, size):
        """The same frame of an aligned face that is `size` pixels wide."""
        scale = size / self.size
        shift = (scale - 1) / 2
        return FaceFrame(compose(np.array([[scale, 0, shift], [0, scale, shift]]), self.matrix), size)

    def widened(self, points, most, margin):
        """A wider frame that holds this one and points beyond it, with this one's tilt.

        Args:
            points: N x 2 photo coordinates, N > 0.
            most: it becomes at most so many times as wide; then further points lie beyond it.
            margin: how far it reaches beyond the points, in pixels of the aligned face.
        """
        first, last = -0.5, self.size - 0.5
        points = self.to_frame(points)
        low = np.minimum(points.min(axis=0) - margin, first)
        high = np.maximum(points.max(axis=0) + margin, last)
        side = min((high - low).max(), most * self.size)
        centre = np.clip((low + high) / 2, last - side / 2, first + side / 2)
        linear = np.eye(2) * (self.size / side)
        return FaceFrame(compose(self._around(centre, linear, self.size).matrix, self.matrix), self.size)

    @property
    def inverse(self):
        """2 x 3 float64 similarity from pixels of the aligned face to photo pixels."""
        return cv2.invertAffineTransform(self.matrix)

    def apart(self, other):
        """How far another frame of the photo has the eyes from where this one has them, in eye distances."""
        there = self.to_frame(other.to_photo(_EYES))
        return float(np.linalg.norm(there - _EYES, axis=1).mean() / math.dist(*_EYES))

    @property
    def side(self):
        """Side of the aligned face in photo pixels."""
        return self.size * math.hypot(*self.inverse[:, 0])

    @property
    def corners(self):
        """4 x 2 photo coordinates of the aligned face's corners, clockwise from its top left."""
        edge = self.size - 0.5
        return self.to_photo([(-0.5, -0.5), (edge, -0.5), (edge, edge), (-0.5, edge)])

    def to_frame(self, points):
        """Photo coordinates (N x 2) as coordinates of the aligned face."""
        return transform(self.matrix, points)

    def to_photo(self, points):
        """Coordinates of the aligned face (N x 2) as photo coordinates."""
        return transform(self.inverse, points)

    def covered(self, area):
        """Those pixels of `area`, H x W bool in the photo, that the aligned face covers; H x W bool."""
        covered = np.zeros_like(area)
        region, matrix = self.cut_out(*area.shape)
        height, width = area[region].shape
        covered[region] = area[region] & _inside(matrix, width, height, self.size, self.size)
        return covered

    def area_in_photo(self, area, width, height):
        """An area of the aligned face, size x size bool, as one of the width x height photo, H x W bool."""
        return _move_labels(area, self.inverse, width, height)

    def area_in_face(self, area):
        """An area of the photo, H x W bool, as one of the aligned face, size x size bool."""
        region, matrix = self.cut_out(*area.shape)
        part = area[region]
        return (
            _move_labels(part, matrix, self.size, self.size)
            if part.any()
            else np.zeros((self.size,) * 2, bool)
        )

    def seen_in(self, labels, other):
        """Class ids or an area of this aligned face, size x size, where they lie in another frame; else 0."""
        return _move_labels(labels, compose(other.matrix, self.inverse), other.size, other.size)

    def cut_out(self, height, width):
        """The slices of the part around the frame of a height x width photo, and that part's own `matrix`.

        What is done there only is done in time in large photos; and OpenCV 4 warps no picture that is wider
        or higher than 32,767 pixels.
        """
        limit = width, height
        left, top = start = np.clip(np.floor(self.corners.min(0)), 0, limit).astype(int)
        right, bottom = np.clip(np.ceil(self.corners.max(0)) + 1, start, limit).astype(int)
        return np.s_[top:bottom, left:right], compose(self.matrix, np.array([[1.0, 0, left], [0, 1, top]]))


def warp_to_frame(photo, mask, frame):
    """Bring the face into its frame, without a trace of what the hole hides.

    Args:
        photo: H x W x 3 uint8.
        mask: H x W, nonzero = hole.
        frame: the `FaceFrame` of the face.

    Returns:
        The aligned face, size x size x 3 uint8 (hidden pixels count as black, beyond the photo it is
        mirrored), and a size x size bool array of its unknown pixels: those that a hidden pixel had any
        part in, and those beyond the photo. Where the frame cuts a hole off, a strip along its border, see
        `STRIP`, is known: it mirrors what the photo has beyond.
    """
    hidden = np.asarray(mask) != 0
    aligned, unknown, beyond = _view(photo, hidden, frame)
    width = max(1, round(STRIP * frame.size))
    strip = unknown & ~beyond
    strip[width:-width, width:-width] = False
    if not strip.any():
        return aligned, unknown
    wider = compose(np.array([[1.0, 0, width], [0, 1, width]]), frame.matrix)
    view, unknown_wider, _ = _view(photo, hidden, FaceFrame(wider, frame.size + 2 * width))
    places = np.arange(len(view))
    straight = places[width:-width]
    mirrored = np.r_[places[:width][::-1], straight[width:-width], places[-width:][::-1]]
    # Sides first, then top and bottom; in the corners across them.
    for rows, columns in ((straight, mirrored), (mirrored, straight), (mirrored, mirrored)):
        there = np.ix_(rows, columns)
        found = strip & unknown & ~unknown_wider[there]
        aligned[found] = view[there][found]
        unknown &= ~found
    return aligned, unknown


def _view(photo, hidden, frame):
    """As `warp_to_frame` without the strip, and which pixels lie beyond the photo."""
    height, width = photo.shape[:2]
    aligned = warp(photo, frame.matrix, frame.size, frame.size, hidden)
    beyond = ~_inside(frame.inverse, frame.size, frame.size, width, height)
    return aligned, hidden_in(hidden, frame.matrix, frame.size, frame.size) | beyond, beyond


def paste_back(photo, mask, painted, frame, sources=None, layout=None):
    """Put the restored face into the hole of the photo, without a seam.

    Args:
        photo: H x W x 3 uint8.
        mask: H x W, nonzero = hole.
        painted: the aligned face as the networks painted it, also where it is visible, size x size x 3 uint8;
            or larger, from `detail.enlarge`.
        frame: the `FaceFrame` that the face was aligned with.
        sources: from `detail.pick_sources`, where a face that is enlarged takes its grain from; None to go
            without.
        layout: size x size class ids of the painted face; needed with `sources`.

    Returns:
        The photo with the face in its hole, H x W x 3 uint8, known pixels untouched, and an H x W bool
        array of the hole's pixels that the frame does not cover: they are as they were.
    """
    hidden = np.asarray(mask) != 0
    fill = frame.covered(hidden)
    result = photo.copy()
    if fill.any():
        region, matrix = frame.cut_out(*fill.shape)
        size = fill[region].shape[::-1]
        here = FaceFrame(matrix, frame.size)
        step = frame.side / frame.size
        new = warp(painted, here.resized(len(painted)).inverse, *size)
        new = match_edge(photo[region], new, hidden[region], step)
        if sources is not None and step > 1:
            layout = _move_labels(layout, here.inverse, *size)
            new, flow = comb_enlarged(new, hidden[region], layout, step)
            soft = soften_enlarged(photo[region], new, hidden[region], layout, step)
            new = carry_detail(photo[region], soft, new, fill[region], sources, here)
            new = add_strands_enlarged(flow, photo[region], new, hidden[region], layout, step)
        result[region] = cv2.copyTo(new, fill[region].view(np.uint8), result[region])
    return result, hidden & ~fill


def share_hole(mask, frames):
    """Share a hole out among faces that are put into it one after the other.

    Args:
        mask: H x W bool, true in the hole.
        frames: the faces' `FaceFrame`s, in that order.

    Returns:
        For each the part of the hole that it is to fill, H x W bool: the first one all that it covers, each
        further one what it covers and is nearer to than all before it, distances in sides of their frames.
    """
    if len(frames) == 1 or not mask.any():
        return [mask] * len(frames)
    shares = [mask]
    nearest = np.full(mask.shape, np.inf, np.float32)
    for number, frame in enumerate(frames):
        region, matrix = frame.cut_out(*mask.shape)
        side = np.linspace(-0.5, 0.5, frame.size, dtype=np.float32)
        # Sampled without interpolation: beyond the frame there is no distance to mix in.
        distance = cv2.warpAffine(
            np.hypot(side, side[:, None]),
            matrix,
            mask[region].shape[::-1],
            flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        nearer = frame.covered(mask)[region] & (distance < nearest[region])
        nearest[region][nearer] = distance[nearer]
        if number:
            shares.append(np.zeros_like(mask))
            shares[-1][region] = nearer
    return shares


class NoFaceFound(ValueError):  # noqa: N818 (it is a state of the photo, not a mistake)
    """There is no face, or none that can be framed; the sentence is for the user."""


def locate(photo, mask, parse, regress, detector=None, beneath=False):
    """Find the faces to restore: those that the hole touches, up to 12 of them, or the largest.

    Args:
        photo: H x W x 3 uint8.
        mask: H x W, nonzero = hole.
        parse: the layout generator, as in `locate_by_layout`.
        regress: the frame regressor, as in `align_closer`.
        detector: a `FaceDetector`, or None to go by the layout alone.
        beneath: look at what the hole hides, too, as where a face that is still there was painted over; the
            hole then only tells which faces are meant.

    Returns:
        A list of `FaceFrame`, the face that the hole touches most first.

    Raises:
        NoFaceFound: as it says.
    """
    hidden = np.asarray(mask) != 0
    unseen = np.zeros_like(hidden) if beneath else hidden

    def choose(faces):
        touched = [face for face in faces if _count_in_ellipse(hidden, face.box)]
        return touched or (faces if hidden.any() else faces[:1])

    faces = detector.detect(photo, unseen, choose) if detector else []
    found = []
    # The faces come largest first, so the largest is the first of those that the hole touches alike.
    for face in faces:
        frame = FaceFrame.from_landmarks(face.landmarks)
        found.append((_count_in_ellipse(hidden, face.box), np.count_nonzero(frame.covered(hidden)), frame))
    found.sort(key=lambda item: item[:2], reverse=True)
    if not found or (hidden.any() and not any(found[0][:2])):
        frames = locate_by_layout(photo, hidden, parse, regress, beneath)
        if not frames and not found:
            raise NoFaceFound(NO_FACE)
        frames = frames or [found[0][2]]
    else:
        touched = [frame for hidden_part, _, frame in found if hidden_part][:_MOST_TOUCHED] or [found[0][2]]
        # YuNet guesses the landmarks that the hole hides, and marks faces a little otherwise than the data
        # that the networks know.
        frames = [align_closer(photo, unseen, regress, frame) for frame in touched]
    return [align_hidden(photo, unseen, parse, regress, frame) for frame in frames]


def align_closer(photo, mask, regress, frame):
    """Bring a face closer to the frame that the networks were trained in.

    Args:
        photo: H x W x 3 uint8.
        mask: H x W, nonzero = hole.
        regress: a function of N x 256 x 256 x 3 uint8 faces and N x 256 x 256 bool unknown pixels that
            returns N complex factors and offsets, as of `FrameRegressor`.
        frame: the `FaceFrame` of the face, roughly.

    Returns:
        A `FaceFrame`.
    """
    for _ in range(LOOKS):
        face, unknown = warp_to_frame(photo, mask, frame)
        factors, offsets = regress(np.stack([face, face[:, ::-1]]), np.stack([unknown, unknown[:, ::-1]]))
        # What the mirror shows, mirrored back; the mean of both looks counts.
        factor = np.sqrt(factors[0] * np.conj(factors[1]))
        offset = (offsets[0] - np.conj(offsets[1])) / 2
        half = frame.size / 2
        offset = half * (offset + (1 + 1j) * (1 - factor)) - (0.5 + 0.5j) * (1 - factor)
        frame = FaceFrame(compose(similarity(factor, offset), frame.matrix))
    return frame


def align_hidden(photo, mask, parse, regress, frame):
    """Bring a hidden face closer by its parts; where much of it is hidden, by the mean of two rounds.

    From where the parts say that a face stands, the frame regressor sees it otherwise, and so do the parts
    from there: the mean of what either round finds is off by less.

    Args:
        photo: H x W x 3 uint8.
        mask: H x W, nonzero = hole.
        parse: the layout generator, as in `locate_by_layout`.
        regress: the frame regressor, as in `align_closer`.
        frame: the `FaceFrame` of the face, as `align_closer` gives it.

    Returns:
        A `FaceFrame`; `frame` itself where nothing is hidden, or the parts tell nothing.
    """
    once = align_parts(photo, mask, parse, frame)
    if once is frame or frame.area_in_face(np.asarray(mask) != 0)[_FACE].mean() < MUCH_HIDDEN:
        return once
    again = align_parts(photo, mask, parse, align_closer(photo, mask, regress, once))
    return FaceFrame((once.matrix + again.matrix) / 2)


def align_parts(photo, mask, parse, frame):
    """Bring a hidden face closer to where its parts, as Stage 1 sees them, stand in their mean places.

    The frame regressor knows better where a whole face stands, Stage 1 what the hole hides. So the frame goes
    a share of that way, namely that of the face that is hidden.

    Args:
        photo: H x W x 3 uint8.
        mask: H x W, nonzero = hole.
        parse: the layout generator, as in `locate_by_layout`.
        frame: the `FaceFrame` of the face, as `align_closer` gives it.

    Returns:
        A `FaceFrame`; `frame` itself where nothing is hidden, or the parts tell nothing.
    """
    face, unknown = warp_to_frame(photo, mask, frame)
    share = unknown[_FACE].mean()
    if not share:
        return frame
    score, step = _read_layout(np.asarray(parse(face[None], unknown[None]))[0], unknown)
    if score < _LEAST_SCORE:
        return frame
    return FaceFrame(compose((1 - share) * np.eye(2, 3) + share * step, frame.matrix))


def _count_in_ellipse(hidden, box):
    """Hidden pixels of the ellipse in a box (x, y, width, height)."""
    x, y, w, h = box
    left, top = max(0, round(x)), max(0, round(y))
    part = hidden[top : max(0, round(y + h)), left : max(0, round(x + w))]
    if not part.size:
        return 0
    ellipse = np.zeros(part.shape, np.uint8)
    centre, axes = (round(x + w / 2) - left, round(y + h / 2) - top), (round(w / 2), round(h / 2))
    cv2.ellipse(ellipse, centre, axes, 0, 0, 360, 1, -1)
    return np.count_nonzero(part & (ellipse > 0))


class _Part(NamedTuple):
    """A facial part of the mean layout: class ids, mean centroid, mean area in pixels, say in the fit."""

    classes: list
    centre: complex
    area: float
    weight: float


# Areas are means over 1,000 training layouts of CelebAMask-HQ at 256 x 256; the weights follow the scatter.
_PARTS = (
    _Part(class_ids("right eye"), complex(*MEAN_CENTRES["right eye"]), 152, 1.0),
    _Part(class_ids("left eye"), complex(*MEAN_CENTRES["left eye"]), 151, 1.0),
    _Part(class_ids("right brow"), complex(*MEAN_CENTRES["right brow"]), 281, 0.3),
    _Part(class_ids("left brow"), complex(*MEAN_CENTRES["left brow"]), 287, 0.3),
    _Part(class_ids("nose"), complex(*MEAN_CENTRES["nose"]), 1346, 0.5),
    _Part(class_ids(*MOUTH), complex(*MEAN_CENTRES["mouth"]), 924, 1.0),
)
_FACE_CLASSES = class_ids(
    *("skin", "nose", "eyeglasses", "left eye", "right eye", "left brow", "right brow", *MOUTH)
)
_PLACES = np.arange(FACE_SIZE) + 1j * np.arange(FACE_SIZE)[:, None]


def _in_face(places):
    """Which of the places x + iy of the frame the mean face covers, an ellipse."""
    away = places - (128.6 + 140.5j)
    return (away.real / 66.2) ** 2 + (away.imag / 95.6) ** 2 <= 1


_FACE = _in_face(_PLACES)
# With hair and ears: 1.35 of it.
_HEAD = _in_face((_PLACES - (128.6 + 130j)) / 1.35 + (128.6 + 140.5j))
# The worst of 20 true layouts scores 0.34 with nothing hidden; hidden parts lower that.
_LEAST_SCORE = 0.15
_SURE_SCORE = 0.3
# In 32 photos of one face what lies beside it scored 0.22 at most; in 32 of two, 27 second faces score more.
_FURTHER_SCORE = 0.25
_MOST_WINDOWS = 28
_BATCH = 7
_CANDIDATES = 3
_MOST_FACES = 6
# Each takes about half a second of a laptop; the hole of those beyond is filled with the colours around it.
_MOST_TOUCHED = 12
# Heads are some two eye distances wide; what is closer is the same face again.
_NEXT_FACE = 1.5

_MOST_HIDDEN = 0.9
"""Where more of a square is hidden, the layout is the mean face's, wherever the square lies.

In a photo of which all but one pixel is hidden such a face was found, twelve times as wide as the true one;
in half hidden photos of a car and of a landscape, too.
"""


def locate_by_layout(photo, mask, parse, regress, beneath=False):
    """Find faces without the detector: where the layout looks most like a face's.

    Windows over the photo, those near the hole first, are parsed until one surely shows a face; the best are
    brought into the frame. At most 31 crops are parsed, for a portrait some 10. Where the hole reaches beyond
    that head, up to 7 more tell whether it touches another face, and so on.

    Args:
        photo: H x W x 3 uint8.
        mask: H x W, nonzero = hole.
        parse: a function of N x 256 x 256 x 3 uint8 faces and N x 256 x 256 bool unknown pixels that
            returns N x 256 x 256 CelebAMask-HQ class ids.
        regress: the frame regressor, as in `align_closer`.
        beneath: as in `locate`.

    Returns:
        A list of `FaceFrame`, the face that the hole touches most first; empty if there is none.
    """
    hidden = np.asarray(mask) != 0
    unseen = np.zeros_like(hidden) if beneath else hidden
    height, width = hidden.shape
    found, faces = [], np.zeros_like(hidden)
    left, windows, least = hidden, _windows(hidden), _LEAST_SCORE
    while windows and len(found) < _MOST_FACES:
        frame = _search(photo, unseen, faces, windows, least, parse, regress)
        if frame is None or any(frame.apart(other) < _NEXT_FACE for _, other in found):
            break
        face = frame.area_in_photo(_FACE, width, height)
        if found and not (left & face).any():
            break
        found.append((np.count_nonzero(hidden & face), frame))
        faces = faces | face
        left = left & ~frame.area_in_photo(_HEAD, width, height)
        windows, least = _windows_beside(left, frame.side), _FURTHER_SCORE
    found.sort(key=lambda item: -item[0])
    return [frame for touched, frame in found if touched] or [frame for _, frame in found[:1]]


def _search(photo, hidden, faces, windows, least, parse, regress):
    """The `FaceFrame` of the best face in some windows, or None where none scores at least `least`.

    What lies in `faces`, H x W bool, is known already and does not count.
    """

    def look(frames):
        """Scores and closer frames, the best first, of those frames that show a face."""
        pixels, unknown = map(np.stack, zip(*[warp_to_frame(photo, hidden, f) for f in frames], strict=True))
        layouts = np.asarray(parse(pixels, unknown))
        if faces.any():
            layouts = np.where([frame.area_in_face(faces) for frame in frames], 0, layouts)
        read = map(_read_layout, layouts, unknown)
        found = [(score, FaceFrame(compose(step, frame.matrix)), frame)
                 for frame, (score, step) in zip(frames, read, strict=True) if step is not None]  # fmt: skip
        return sorted(found, key=lambda item: -item[0])

    found = []
    for first in range(0, len(windows), _BATCH):
        found = sorted(found + look(windows[first : first + _BATCH]), key=lambda item: -item[0])
        if found and found[0][0] >= _SURE_SCORE:
            break
    aligned = [align_closer(photo, hidden, regress, frame) for _, frame, _ in found[:_CANDIDATES]]
    found = look(aligned) if aligned else []
    return found[0][2] if found and found[0][0] >= least else None


def _windows(hidden):
    """Square frames over the photo, from larger than it to a third of it, near the hole first."""
    height, width = hidden.shape
    rows, columns = around(hidden, 0) if hidden.any() else np.s_[0:height, 0:width]
    middle = [(each.start + each.stop - 1) / 2 for each in (columns, rows)]
    frames = []
    for share in (1.0, 1.4, 0.7, 0.5, 0.35):
        side = share * min(width, height)
        centres = [(x, y) for y in _centres(height, side) for x in _centres(width, side)]
        centres.sort(key=lambda centre: math.dist(centre, middle))
        frames += [FaceFrame.square(x, y, side) for x, y in centres]
    # A hole that was painted over a part of a face tells its place and, roughly, its size.
    extent = max(each.stop - each.start for each in (columns, rows))
    if extent < min(width, height) / 2:
        frames = [FaceFrame.square(*middle, share * max(16, extent)) for share in (2, 4, 1.2)] + frames
    return frames[:_MOST_WINDOWS]


def _windows_beside(left, side):
    """Square frames about the two largest parts of a hole that a face of frame side `side` leaves over."""
    _, _, boxes, centres = cv2.connectedComponentsWithStats(left.astype(np.uint8))
    areas = boxes[1:, cv2.CC_STAT_AREA]
    # The first is all that is not hidden; what is smaller than an eye hides no face.
    parts = [part for part in np.argsort(-areas)[:2] if areas[part] > (side / 16) ** 2]
    return [FaceFrame.square(*centres[1 + part], share * side) for part in parts for share in (1, 1.5)]


def _centres(length, side):
    if side >= length:
        return [(length - 1) / 2]
    count = math.ceil((length - side) / (side / 2)) + 1
    return np.linspace((side - 1) / 2, length - 1 - (side - 1) / 2, count)


def _read_layout(layout, unknown):
    """How much a 256 x 256 layout looks like a face, and where that face is.

    Returns:
        A score from 0 to 1 and the 2 x 3 similarity that takes the layout's parts to their mean positions;
        (0, None) where there are too few parts or they stand in no face's order, or where so much is hidden
        that whatever is found is made up.
    """
    if unknown.mean() > _MOST_HIDDEN:
        return 0.0, None
    found = []
    for part in _PARTS:
        here = np.isin(layout, part.classes)
        area = np.count_nonzero(here)
        if area >= 12:
            y, x = np.nonzero(here)
            # What the network only guesses, inside the hole, says little about where the face is.
            known = 1 - np.count_nonzero(unknown[here]) / area
            found.append((part, complex(x.mean(), y.mean()), area, 0.25 + 0.75 * known))
    if len(found) < 3:
        return 0.0, None
    weights = np.array([part.weight * trust for part, _, _, trust in found])
    here = np.array([centre for _, centre, _, _ in found])
    mean = np.array([part.centre for part, _, _, _ in found])
    here_middle, mean_middle = np.average(here, weights=weights), np.average(mean, weights=weights)
    spread = (weights * abs(here - here_middle) ** 2).sum()
    # The least-squares similarity in closed form: a complex factor turns and scales.
    factor = (weights * np.conj(here - here_middle) * (mean - mean_middle)).sum() / max(spread, 1e-9)
    if not 0.2 < abs(factor) < 4 or abs(np.angle(factor)) > math.radians(60):
        return 0.0, None
    offset = mean_middle - factor * here_middle
    closeness = np.exp(-((abs(factor * here + offset - mean) / 12) ** 2))
    sizes = np.array([area * abs(factor) ** 2 / part.area for part, _, area, _ in found])
    agreement = (weights * closeness * np.sqrt(np.minimum(sizes, 1 / sizes))).sum()
    score = agreement / sum(part.weight for part in _PARTS) * _face_overlap(layout, factor, offset)
    return float(score), similarity(factor, offset)


def _face_overlap(layout, factor, offset):
    """Intersection over union of the layout's face with the mean face."""
    face = np.isin(layout, _FACE_CLASSES)
    mean = _in_face(factor * _PLACES + offset)
    return np.count_nonzero(face & mean) / max(1, np.count_nonzero(face | mean))


def transform(matrix, points):
    """N x 2 points, taken along a 2 x 3 matrix."""
    return np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]


def compose(second, first):
    """The 2 x 3 matrix that applies `first`, then `second`."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def similarity(factor, offset):
    """The 2 x 3 matrix that takes x + iy to factor * (x + iy) + offset."""
    return np.array([[factor.real, -factor.imag, offset.real], [factor.imag, factor.real, offset.imag]])


def _inside(matrix, width, height, other_width, other_height):
    """Which pixels of a width x height picture `matrix` takes into another picture, height x width bool."""
    x, y = np.arange(width), np.arange(height)[:, None]
    inside = np.ones((height, width), bool)
    for row, limit in zip(matrix, (other_width, other_height), strict=True):
        there = row[0] * x + row[1] * y + row[2]
        inside &= (there > -0.5 - 1e-6) & (there < limit - 0.5 + 1e-6)
    return inside


def _move_labels(labels, matrix, width, height):
    """Class ids or a bool area along `matrix`, height x width of the same type."""
    moved = cv2.warpAffine(labels.astype(np.uint8), matrix, (width, height), flags=cv2.INTER_NEAREST)
    return moved.astype(labels.dtype)


def _blacken(photo, hidden):
    return cv2.copyTo(photo, (~hidden).view(np.uint8))


def hidden_in(hidden, matrix, width, height):
    """Which pixels of a picture that `warp` makes a hidden pixel had a part in, height x width bool."""
    if not hidden.any():
        return np.zeros((height, width), bool)
    # The same filter tells.
    return warp(hidden, matrix, width, height) > 1e-3


def warp(source, matrix, width, height, hidden=None, interpolation=cv2.INTER_CUBIC):
    """Resample H x W (x C) `source` along the similarity `matrix` to a width x height picture.

    The filter is bicubic, after a box that shrinks. Bicubic weights may be negative: a bool mask comes out as
    the amount of what they add up to. Where nothing moves, `source` itself is the result. `hidden` pixels,
    H x W bool, count as black. Another `interpolation` is for pictures that need not be as sharp.
    """
    if source.shape[:2] == (height, width) and np.array_equal(matrix, np.eye(2, 3)):
        return source if hidden is None else _blacken(source, hidden)
    inverse = cv2.invertAffineTransform(matrix)
    step = math.hypot(*inverse[:, 0])
    # Only the part of a large photo that is needed, plus the reach of the filter.
    corners = transform(inverse, [(x, y) for x in (-1, width) for y in (-1, height)])
    limit = np.array([source.shape[1], source.shape[0]])
    start = np.clip(np.floor(corners.min(0) - step - 3), 0, limit - 1).astype(int)
    stop = np.clip(np.ceil(corners.max(0) + step + 4), start + 1, limit).astype(int)
    shrink = max(1, int(step / 2))
    stop = np.minimum(stop + (start - stop) % shrink, limit)
    part = np.s_[start[1] : stop[1], start[0] : stop[0]]
    # Only now: in a large photo what is done to all of it takes longer than what is done to the face.
    source = source[part] if hidden is None else _blacken(source[part], hidden[part])
    if source.dtype == bool:
        source = source.astype(np.float32)

    if shrink > 1:
        down, right = -source.shape[0] % shrink, -source.shape[1] % shrink
        source = cv2.copyMakeBorder(source, 0, down, 0, right, cv2.BORDER_REPLICATE)
        small = (source.shape[1] // shrink, source.shape[0] // shrink)
        source = cv2.resize(source, small, interpolation=cv2.INTER_AREA)
    # A tenth of a pixel more between two samples shows nowhere, and may save half of them.
    samples = max(1, math.ceil(step / shrink - 0.1))

    linear = inverse[:, :2]
    first = linear @ np.full(2, 0.5 / samples - 0.5) + inverse[:, 2]
    to_source = np.column_stack([linear / (samples * shrink), (first - start + 0.5) / shrink - 0.5])
    fine = cv2.warpAffine(source, to_source, (width * samples, height * samples),
                          flags=interpolation | cv2.WARP_INVERSE_MAP,
                          borderMode=cv2.BORDER_REFLECT)  # fmt: skip
    if fine.dtype == np.float32:
        fine = np.abs(fine)  # a mask's negative sums count, too
    return fine if samples == 1 else cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
