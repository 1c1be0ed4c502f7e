"""What the page remembers for a visitor: a photo, its hole, and the attempts to fill it."""

from dataclasses import dataclass, fields, replace

import numpy as np
from PIL import Image

from ..alignment import FaceFrame
from ..baselines import BASELINES
from ..photos import Photo
from ..semantics import class_ids
from ..visualization import crop_to_face, outline_faces, overlay_layout, tint_hole

PREVIEW_SIDE = 1280
CLOSE_UP_BELOW = 0.7  # faces narrower than this share of the photo are shown close up
THUMBNAIL_SIDE = 320
MAX_ATTEMPTS = 12
MAX_ATTEMPTS_BYTES = 100_000_000  # of all of a visit's attempts together

PLACES = "one eye", "the other eye", "the mouth"
PHOTO, HOLE, OVERLAY = "Photo", "With the hole", "Layout over the photo"


@dataclass(frozen=True, eq=False)
class Press:
    """What a press of a button, or a stroke, asks of the model."""

    mask: np.ndarray  # what is to be filled, at the photo's size
    seed: int
    variation: int = 1  # the first one that is asked for
    edit: str = ""  # what was done to the layout
    origin: "Attempt | None" = None  # whose layout was edited; without one Stage 1 predicts it
    by_strokes: bool = False


@dataclass(frozen=True, eq=False)
class Attempt:
    """One restored photo, as what it has in its hole, and all that leads back to it."""

    title: str
    hole: np.ndarray  # the mask, 8 pixels a byte
    filling: np.ndarray  # the restored photo's pixels where the mask is set
    thumbnails: dict  # by whether the face is shown close up
    layout: np.ndarray
    frames: list[FaceFrame]
    seed: int
    variation: int
    notes: str
    link: str  # what opens it again in the page's address, if anything does
    origin: "Attempt | None" = None  # the one whose layout was edited, if any was
    by_strokes: bool = False  # whether strokes on the layout made it, and may go on doing so

    @classmethod
    def of(cls, photo, mask, frames, **rest):
        """The attempt that made `photo`; `rest` is as in the class."""
        image = Image.fromarray(photo.rgb)
        thumbnails = {
            close_up: fit(crop_to_face(image, frames[0]) if close_up else image, THUMBNAIL_SIDE)
            for close_up in (False, True)
        }
        hole, filling = np.packbits(mask), photo.pixels[mask]
        return cls(hole=hole, filling=filling, thumbnails=thumbnails, frames=frames, **rest)

    def shows_what(self, other):
        """Whether both are the same picture of the same layout, that of Stage 1."""
        return (
            not (self.origin or other.origin)
            and np.array_equal(self.hole, other.hole)
            and np.array_equal(self.filling, other.filling)
        )

    @property
    def size(self):
        """Bytes that it takes, about."""
        thumbnails = sum(3 * each.width * each.height for each in self.thumbnails.values())
        return self.hole.nbytes + self.filling.nbytes + self.layout.nbytes + thumbnails

    @property
    def unedited(self):
        """The attempt whose layout was edited to make this one; itself where none was. It has no pictures."""
        return self.origin or replace(self, filling=self.filling[:0].copy(), thumbnails={})


@dataclass(frozen=True, eq=False)
class Visit:
    """What the page remembers for one visitor: a photo, its mask at the photo's size, and the attempts."""

    photo: Photo
    mask: np.ndarray
    align: bool = True
    places: tuple = ()  # where the visitor pointed to, (x, y): both eyes, then the mouth
    example: str = ""
    face: tuple | None = None  # layout and frame of the unmasked face, once they were asked for
    attempts: tuple = ()
    chosen: int = 0
    close_up: bool = False  # show the face instead of the whole photo
    left: str = PHOTO  # name of the picture on the left side of the comparison
    made: int = 0  # attempts in all, those included that are no longer kept
    canvas: str = ""  # names the picture that the layout's editor was last given

    @property
    def image(self):
        """The photo as the page shows it: RGB, upright."""
        return Image.fromarray(self.photo.rgb)

    @property
    def size(self):
        """Bytes that it takes, about: the photo is kept as it is and as the page shows it."""
        photo = self.photo.pixels.nbytes + 3 * self.mask.nbytes
        return photo + self.mask.nbytes + sum(attempt.size for attempt in self.attempts)

    @property
    def face_options(self):
        """Where the face is, as `FaceInpainter` takes it."""
        if len(self.places) == len(PLACES):
            return {"frames": [FaceFrame.from_eyes_and_mouth(*self.places)]}
        return {"align": self.align}

    def with_face(self, **changes):
        """The visit with `align` or `places` changed; what was known of the face is forgotten then."""
        if all(getattr(self, name) == value for name, value in changes.items()):
            return self
        return replace(self, **changes, face=None)

    def merged(self, before, now):
        """What a handler made of the visit `before`, and others did meanwhile, who made `now` of it."""
        meanwhile = {
            field.name: getattr(now, field.name)
            for field in fields(self)
            if getattr(self, field.name) is getattr(before, field.name)
        }
        if self.attempts is not before.attempts or self.canvas != before.canvas:
            # Its answer shows an attempt in this way.
            meanwhile |= {name: getattr(self, name) for name in ("chosen", "close_up", "left")}
        return replace(self, **meanwhile)

    def is_overtaken(self, before, now):
        """Whether this, made of the visit `before`, follows a layout that is no longer shown in `now`."""
        return self.attempts is not before.attempts and self.canvas == before.canvas != now.canvas

    @property
    def attempt(self):
        """The attempt that the visitor looks at."""
        return self.attempts[self.chosen]

    @property
    def growing(self):
        """Whether the attempt that the visitor looks at is the latest one, and made by strokes."""
        return self.attempt.by_strokes and self.chosen == len(self.attempts) - 1

    def without_latest(self):
        """The visit without its latest attempt, whose number is free again; none is chosen."""
        return replace(self, attempts=self.attempts[:-1], made=self.made - 1)

    def mask_of(self, attempt):
        """What an attempt hid, H x W bool."""
        return np.unpackbits(attempt.hole, count=self.mask.size).view(bool).reshape(self.mask.shape)

    def restored(self, attempt):
        """An attempt's restored photo."""
        return self.photo.with_filling(attempt.filling, self.mask_of(attempt))

    def with_results(self, results, press, notes, link=""):
        """The visit with what a press gave as further attempts, the first of them chosen.

        What is pressed again without a change gives no further one: that which is there is chosen.

        Args:
            results: list of `pipeline.Result`, one for each variation.
            press: `Press`.
            notes: sentences to show with them; seed and variation are added.
            link: see `Attempt`; the number of the variation is added.
        """
        attempts = []
        for number, result in enumerate(results):
            variation = press.variation + number
            made_by = press.edit or ("restored" if variation == 1 else "another face")
            if press.edit and len(results) > 1:
                made_by += f", variation {variation}"
            attempts.append(
                Attempt.of(
                    result.photo,
                    press.mask,
                    result.frames,
                    title=f"{self.made + number + 1} · {made_by}",
                    layout=result.layout,
                    seed=press.seed,
                    variation=variation,
                    notes=" ".join([*notes, f"Seed {press.seed}, variation {variation}."]),
                    link=link and f"{link}{variation}",
                    origin=press.origin,
                    by_strokes=press.by_strokes,
                )
            )
        if not press.edit and len(attempts) == 1:
            for index, there in enumerate(self.attempts):
                if there.shows_what(attempts[0]):
                    return replace(self, chosen=index)
        return self.with_attempts(attempts)

    def with_attempts(self, attempts):
        """The visit with further attempts, the first of them chosen; the oldest ones are forgotten."""
        height, width = self.mask.shape
        kept = (*self.attempts, *attempts)[-MAX_ATTEMPTS:]
        while len(kept) > len(attempts) and sum(attempt.size for attempt in kept) > MAX_ATTEMPTS_BYTES:
            kept = kept[1:]
        small = attempts[0].frames[0].side < CLOSE_UP_BELOW * min(height, width)
        return replace(
            self,
            attempts=kept,
            chosen=len(kept) - len(attempts),
            made=self.made + len(attempts),
            close_up=self.close_up if self.made else small,
        )

    @property
    def pictures(self):
        """Names of the pictures that can be compared, as `picture` takes them."""
        return [PHOTO, HOLE, OVERLAY, *BASELINES, *(each.title for each in self.attempts)]

    def picture(self, name):
        """The picture that a visitor chose to compare, as large as it is shown."""
        attempt = self.attempt
        if name == PHOTO:
            picture = self.image
        elif name == HOLE:
            picture = tint_hole(self.image, self.mask_of(attempt))
        elif name == OVERLAY:
            restored = Image.fromarray(self.restored(attempt).rgb)
            picture = overlay_layout(restored, attempt.layout, attempt.frames[0])
            picture = outline_faces(picture, attempt.frames)
        elif name in BASELINES:
            # At the size that is shown: these methods take 1.5 s a megapixel.
            hole = self._shown(Image.fromarray(self.mask_of(attempt)).convert("L"))
            photo = np.asarray(self._shown(self.image))
            return Image.fromarray(BASELINES[name](photo, np.asarray(hole) > 0))
        else:
            named = next(each for each in self.attempts if each.title == name)
            picture = Image.fromarray(self.restored(named).rgb)
        return self._shown(picture)

    def _shown(self, image):
        """A picture of the photo's size, as the page shows it: the face or the whole, not too large."""
        image = crop_to_face(image, self.attempt.frames[0]) if self.close_up else image
        return fit(image, PREVIEW_SIDE)


def fit(image, side):
    """The picture, made smaller if it is larger than `side`."""
    if max(image.size) <= side:
        return image
    smaller = image.copy()
    # Of whole pixels' means first: with a photo of 12 megapixels ten times as fast as without.
    smaller.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3)
    return smaller


def hidden_share(mask, layout, frame):
    """Say how much of the face the hole hides."""
    face = ~np.isin(layout, class_ids("background", "cloth", "necklace"))
    share = np.count_nonzero(frame.area_in_face(mask) & face) / max(1, np.count_nonzero(face))
    return f"{share:.0%} of the face is hidden."
