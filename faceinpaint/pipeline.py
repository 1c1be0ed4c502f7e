"""`FaceInpainter`: photo and mask in, layout and restored face out."""

import functools
import logging
import math
import operator
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image

from .alignment import (
    FACE_SIZE,
    NO_FACE,
    FaceFrame,
    NoFaceFound,
    locate,
    paste_back,
    share_hole,
    warp_to_frame,
)
from .baselines import fill_plainly
from .checkpoint import load_network, weights_sha256
from .detail import carry_detail, enlarge, even_skin, match_sharpness, match_tone, pick_sources, soften
from .face_detector import DetectorUnavailable, FaceDetector
from .flow import add_strands, find_flow, smooth_along
from .images import as_images, as_pictures
from .layout_decoding import layout_around, likeliest_layout, without_islands
from .layout_editing import WIDENING, WIDENING_OF_FINE
from .masks import grown
from .modeling.face_prior import light_of
from .modeling.face_upsampler import FACTOR
from .modeling.inputs import start_of_face
from .modeling.texture_generator import region_around
from .photos import Photo, check_mask
from .precision import autocast, fast_dtype, settle
from .semantics import (
    EYES,
    GLASSES,
    HAIR,
    RIM,
    SKIN,
    behind_lenses,
    check_layout,
    one_hot,
)

logger = logging.getLogger(__name__)

MAX_VARIATIONS = 4
MAX_SEED = 10**18 - 1  # PyTorch takes 64 bits: enough for one seed of each variation

SQUARE = FaceFrame.whole(FACE_SIZE, FACE_SIZE)
"""The frame of a picture that is the aligned face itself."""

VARIATION_BREADTH = 1.6
"""Variations are laid out after draws of the prior that are so many standard deviations wide."""

VARIATION_LIGHT = 0.3
"""So much of a draw's light goes into its picture; more of it looks like stains."""

LIKE_A_FACE = 0.5
"""What lies beneath a hole counts as a face's where it differs from what the prior expects there by less than
this, root mean square of values in [-1, 1].

Of 92 made photos with holes of 10-50% of the face 97% are framed within 6% of the distance between the eyes
where the face itself lies beneath, and where one colour or another thing does 68% and 73%, instead of 58% and
57%.
"""

NEARLY_ALL = 0.8
"""Where more of an aligned face's square is hidden, what lies beneath counts as a face's in any case."""

WORTH_PAINTING = 0.02
"""A share of the hole smaller than this that lies outside the faces' squares gets the colours around it."""

WIDEST = 2.5
"""What lies outside the face's square is painted in one that is at most so many times as wide.

Of 36 holes of 20-50% in squares twice as wide as the face's, in 18 photos, what lies outside has an LPIPS of
0.065 and a PSNR of 25.4 dB then; 0.066 and 25.1 dB in a square that is at most twice as wide, 0.074 and
25.0 dB in 1.6 times; with the colours around it (Telea) 0.093 and 24.8 dB.
"""

SEAM = 5
"""So many pixels at the rim of the face's square are painted with what lies outside, so that none shows."""

CONTEXT = 16
"""How far that square reaches beyond the hole, in pixels of the aligned face; with 48 the LPIPS is 0.067."""

HOLE_GREY = 127
"""What hidden pixels of `Result.aligned_input` are shown as."""


@dataclass
class Result:
    """A restored photo and how it came to be.

    Attributes:
        photo: `Photo` of the input's size, kind and profile, to be saved; pixels outside the mask are
            identical to the input's.
        layout: 256 x 256 uint8 class ids, in the frame of the aligned face.
        aligned_input: PIL image, 256 x 256, the face that the networks saw, its hole in grey.
        aligned_mask: 256 x 256 bool, true where they were told that nothing is known.
        aligned_painting: 256 x 256 x 3 uint8, the face as it was painted, next to the hole also where it is
            known.
        frames: list of `FaceFrame`, where the restored faces lie in the photo. All of the above is about the
            first one, the one that the mask touches most.
        notes: sentences that the user should read; often none.
    """

    photo: Photo
    layout: np.ndarray
    aligned_input: Image.Image
    aligned_mask: np.ndarray
    aligned_painting: np.ndarray
    frames: list
    notes: list = field(default_factory=list)

    @functools.cached_property
    def image(self):
        """The restored photo as a PIL image of the input's mode (a palette's colours as RGB)."""
        return self.photo.image

    @functools.cached_property
    def aligned_image(self):
        """PIL image, 256 x 256, the restored face, known pixels as they were."""
        face = np.asarray(self.aligned_input)
        return Image.fromarray(paste_back(face, self.aligned_mask, self.aligned_painting, SQUARE)[0])

    @property
    def frame(self):
        """`FaceFrame` of the main face, the first of `frames`."""
        return self.frames[0]


class _Painted(NamedTuple):
    """One variation of a face: its layout, its pixels, how much of these is grain, and where that is from."""

    layout: np.ndarray
    pixels: np.ndarray
    grain: np.ndarray
    sources: np.ndarray | None


@dataclass
class _Face:
    """One face on its way: its pixels, which of them are unknown, and its variations.

    Where the photo shows it larger, `larger` holds both at that size, up to `FACTOR` times theirs; else None.
    """

    frame: FaceFrame
    pixels: np.ndarray
    unknown: np.ndarray
    larger: tuple | None
    variations: list


class FaceInpainter:
    """Restores the hidden part of a face photo in two steps: layout, then texture.

    It changes the networks in place: they are moved to the device and made ready for it (see `settle`).

    Args:
        prior: `FacePrior`; None for stages that were trained without it.
        frame_regressor: brings faces that were found into the frame.
        layout_generator: Stage 1.
        texture_generator: Stage 2.
        face_upsampler: shows faces in large photos at twice the size that they are painted at.
        device: "cpu", "cuda" or a torch device; by default the GPU where there is one.
        weights_sha256: hex digits that tell which weights these are.
    """

    def __init__(
        self,
        prior,
        frame_regressor,
        layout_generator,
        texture_generator,
        face_upsampler,
        device=None,
        weights_sha256="",
    ):
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.dtype = fast_dtype(self.device.type)
        self.prior = prior.to(self.device) if prior else None
        self.frame_regressor = frame_regressor
        self.layout_generator = layout_generator
        self.texture_generator = texture_generator
        self.face_upsampler = face_upsampler
        for network in (frame_regressor, layout_generator, texture_generator, face_upsampler):
            settle(network.to(self.device), self.dtype)
        self.weights_sha256 = weights_sha256
        # One hole is painted again and again: to other layouts, and in variations.
        self._prior_factor = functools.lru_cache(maxsize=8)(self._find_prior_factor)

    @functools.cached_property
    def detector(self):
        """The face detector, or None without its file: then faces are found by Stage 1's own layout."""
        try:
            return FaceDetector()
        except DetectorUnavailable as error:
            logger.warning("%s Faces are found by Stage 1's own layout, not as well.", error)
            return None

    @classmethod
    def from_pretrained(cls, source=None, device=None):
        """Load the networks.

        Args:
            source: a folder, a Hub repo id such as "user/faceinpaint", or None for the shipped weights.
            device: see the class.

        Raises:
            ValueError: a file is missing or does not fit; the sentence names it.
        """
        regressor, *stages, upsampler = (
            load_network(source, name)
            for name in ("frame_regressor", "layout_generator", "texture_generator", "face_upsampler")
        )
        prior = load_network(source, "face_prior") if any(stage.use_prior for stage in stages) else None
        digest = weights_sha256(source)
        return cls(prior, regressor, *stages, upsampler, device=device, weights_sha256=digest)

    def __call__(
        self,
        image,
        mask,
        layout=None,
        align=True,
        seed=0,
        num_variations=1,
        frames=None,
        variation=1,
        beneath=False,
    ):
        """Restore a photo.

        Args:
            image: `Photo`, PIL image or H x W x 3 uint8 RGB array, 16 x 16 to 50 million pixels.
            mask: H x W array or PIL image of the same size, nonzero = fill.
            layout: 256 x 256 class ids in the frame of the main face, to paint from instead of Stage 1's
                prediction.
            align: find the faces and align them first; False where the picture already is an aligned face.
            seed: of everything random, a whole number of at most 18 digits; the same gives the same picture.
            num_variations: how many different pictures, 1 to 4. The first variation has the likeliest
                layout, whatever the seed, which tells only in its finest texture; the others have other
                layouts, too, unless one is given.
            frames: list of `FaceFrame`, the faces to restore, the main one first, where they are known: from
                an earlier result, or framed by hand. Without it they are looked for.
            variation: the first of them that is made; each is the same picture with others and alone.
            beneath: find the faces as the page does, see `locate`.

        Returns:
            A `Result`, or a list of `num_variations` of them if that is more than 1. An empty mask returns
            the photo as it is, and a note that says so.

        Raises:
            ValueError: unfit input or no face found, with a sentence for the user.
            FloatingPointError: a network's output is not finite.
        """
        photo = Photo.of(image)
        mask = check_mask(mask, photo.rgb)
        if not 1 <= num_variations <= MAX_VARIATIONS:
            raise ValueError(f"Between 1 and {MAX_VARIATIONS} variations can be made at once.")
        if not 1 <= variation <= MAX_VARIATIONS + 1 - num_variations:
            raise ValueError(f"A seed has variations 1 to {MAX_VARIATIONS}.")
        seed = _whole_seed(seed)
        if layout is not None:
            layout = check_layout(layout)
            if layout.shape != (FACE_SIZE, FACE_SIZE):
                raise ValueError(
                    f"The layout must be {FACE_SIZE} x {FACE_SIZE} pixels, one for each of the aligned face."
                )
        try:
            frames = _of_face_size(frames) or self.locate(photo, mask, align, beneath)
        except NoFaceFound:
            if mask.any():
                raise
            frames = self.locate(photo, mask, align=False)
        count = num_variations if mask.any() else 1
        wanted = range(variation - 1, variation - 1 + count)
        faces = [
            self._restore(photo.rgb, mask, frame, None if number else layout, seed, wanted)
            for number, frame in enumerate(frames)
        ]
        shares = share_hole(mask, frames)
        results = [self._assemble(photo, mask, faces, shares, index, seed) for index in range(count)]
        results *= num_variations // count  # an empty mask has one result
        return results if num_variations > 1 else results[0]

    def forget_holes(self):
        """Drop what was worked out about the last holes, which makes it faster to fill them again."""
        self._prior_factor.cache_clear()

    def predict_layout(self, image, mask, align=True, frames=None):
        """Stage 1 alone: 256 x 256 uint8 class ids of the whole main face, in its frame.

        With an empty mask it parses the face. For the arguments and errors see `__call__`.
        """
        photo = Photo.of(image)
        mask = check_mask(mask, photo.rgb)
        frame = (_of_face_size(frames) or self.locate(photo, mask, align))[0]
        face, unknown = warp_to_frame(photo.rgb, mask, frame)
        return self._lay_out(*self._see(face[None], unknown[None]))[0]

    def locate(self, image, mask, align=True, beneath=False):
        """Where the faces to restore lie, a list of `FaceFrame`, the main one first.

        Args:
            image: see `__call__`.
            mask: see `__call__`.
            align: False where the picture, or its central square, already is an aligned face.
            beneath: the hole was painted over a photo that is still there, as on the page; where that is of a
                face, it is looked at, too, to find it.

        Raises:
            ValueError: unfit input or no face found, with a sentence for the user.
        """
        image = Photo.of(image).rgb
        mask = check_mask(mask, image)
        # With nothing to see there is nothing to find: the made-up face fills the picture.
        if not align or mask.all():
            return [FaceFrame.whole(image.shape[1], image.shape[0])]
        frames = None
        for look_beneath in (True, False) if beneath and mask.any() else (False,):
            try:
                found = locate(image, mask, self._parse, self._regress, self.detector, look_beneath)
            except NoFaceFound:
                continue
            if not look_beneath or self._is_of_face(image, mask, found[0]):
                return found
            frames = found
        if frames is None:
            raise NoFaceFound(NO_FACE)
        return frames

    def hair_beyond(self, image, mask, frame, cut):
        """Hair outside a face's square that hangs together with hair in it.

        Args:
            image: see `__call__`.
            mask: see `__call__`.
            frame: the face's `FaceFrame`.
            cut: 256 x 256 bool, the hair in the aligned face that is asked about.

        Returns:
            H x W bool, what Stage 1 reads as such hair in a wider square, and a little around that.
        """
        photo = Photo.of(image).rgb
        mask = check_mask(mask, photo)
        # Hair hangs down, and hardly to the sides.
        wider = frame.widened(frame.to_photo([(64, 2 * FACE_SIZE), (192, 2 * FACE_SIZE)]), WIDEST, CONTEXT)
        face, unknown = warp_to_frame(photo, mask, wider)
        inside, cut = (frame.seen_in(area, wider) for area in (np.ones_like(cut), cut))
        hair = (self._parse(face[None], unknown[None])[0] == HAIR) & ~inside & ~unknown
        _, parts = cv2.connectedComponents((hair | cut).astype(np.uint8))
        beyond = hair & np.isin(parts, parts[cut])
        reach = math.ceil(WIDENING_OF_FINE * frame.side / wider.side)
        beyond = wider.area_in_photo(grown(beyond, reach), *photo.shape[1::-1])
        return beyond & ~frame.covered(beyond)

    @torch.inference_mode()
    def _is_of_face(self, image, mask, frame):
        """Whether what lies beneath the hole is about what the prior expects of a face in that frame."""
        face, outside = warp_to_frame(image, np.zeros_like(mask), frame)
        _, unknown = warp_to_frame(image, mask, frame)
        hidden = unknown & ~outside
        # Where hardly anything else is left there is nothing to go by: neither for the prior, nor for who
        # looks without.
        if not self.prior or not hidden.any() or hidden.mean() > NEARLY_ALL:
            return True
        seen = self._see(face[None], unknown[None])
        difference = (seen[0] - start_of_face(*seen))[0, :, torch.from_numpy(hidden).to(self.device)]
        return difference.square().mean().sqrt().item() < LIKE_A_FACE

    def _restore(self, image, mask, frame, layout, seed, wanted):
        """Both stages on one face: a `_Face` with the wanted variations, of that layout if one is given."""
        pixels, unknown = warp_to_frame(image, mask, frame)
        variations = []
        likeliest = self._see(pixels[None], unknown[None])
        # One by one, each with a seed of its own: it is the same picture with others and alone.
        for index in wanted:
            own_seed = seed + index * (MAX_SEED + 1)
            noise = torch.Generator(self.device).manual_seed(own_seed)
            drawn, light = likeliest, None
            if index and self.prior:
                # Drawn on the CPU, so that a seed gives the same variations on every device.
                chooser = torch.Generator().manual_seed(own_seed)
                latent = VARIATION_BREADTH * torch.randn(1, self.prior.components, generator=chooser)
                drawn = self._see(pixels[None], unknown[None], latent.to(self.device))
                light = VARIATION_LIGHT * light_of(drawn[2], likeliest[2])
            shown = self._lay_out(*drawn)[0] if layout is None else layout
            variations.append(self._render(pixels, unknown, shown, likeliest, noise, light))
        return _Face(frame, pixels, unknown, _view_larger(image, mask, frame), variations)

    def _paint_around(self, picture, mask, beyond, face, painted, seed):
        """Paint what of the hole lies outside a face's square, but not far from it.

        Args:
            picture: H x W x 3 uint8, the photo with its restored faces.
            mask: H x W bool, the hole.
            beyond: H x W bool, the part of it that they do not cover.
            face: the `_Face` that it lies beside.
            painted: that one of its variations which is in the picture.
            seed: of the texture.

        Returns:
            The picture and what is left of that part.
        """
        points = _within_reach(beyond, face.frame)
        if not len(points):
            return picture, beyond
        frame = face.frame.widened(points, WIDEST, CONTEXT)
        rim = np.pad(np.zeros((FACE_SIZE - 2 * SEAM,) * 2, bool), SEAM, constant_values=True)
        hole = beyond | mask & face.frame.area_in_photo(rim, *mask.shape[::-1])
        pixels, unknown = warp_to_frame(picture, hole, frame)
        seen = self._see(pixels[None], unknown[None])
        with torch.inference_mode(), self.autocast():
            logits = _finite(self.layout_generator.look_twice(*seen))[0].float().cpu().numpy()
        inside = face.frame.seen_in(np.ones_like(unknown), frame)
        layout = layout_around(logits, unknown, face.frame.seen_in(painted.layout, frame), inside)
        new = self._paint(
            pixels, unknown, layout, seen, torch.Generator(self.device).manual_seed(seed), light=None
        )
        wider = _Face(frame, pixels, unknown, _view_larger(picture, hole, frame), [new])
        shown = self._enlarge(wider, new)
        picture, left = paste_back(picture, hole, shown, frame, new.sources, layout)
        return picture, beyond & left

    def _parse(self, faces, unknown):
        """Stage 1's class ids, N x 256 x 256 uint8, of N x 256 x 256 x 3 uint8 faces, to find them by."""
        return self._lay_out(*self._see(faces, unknown), twice=False)

    @torch.inference_mode()
    def _see(self, faces, unknown, latent=None):
        """What both stages start from: images, masks and the prior's pictures of faces as of `_parse`.

        `latent` draws one of those pictures, see `FacePrior`.
        """
        image, mask = self._tensors(faces, unknown)
        if not self.prior:
            return image, mask, image
        factor = self._prior_factor(unknown.tobytes()) if len(unknown) == 1 else None
        return image, mask, self.prior(image, mask, latent, factor)

    def _find_prior_factor(self, unknown):
        """`FacePrior.factor` of one hole, the bytes of 256 x 256 bool."""
        mask = torch.frombuffer(bytearray(unknown), dtype=torch.bool).view(1, 1, FACE_SIZE, FACE_SIZE)
        return self.prior.factor(mask.to(self.device).float())

    @torch.inference_mode()
    def _lay_out(self, image, mask, prior, twice=True):
        """Stage 1's class ids, N x 256 x 256 uint8, of what `_see` returns.

        Mostly at a second look, at the mirror image: then hidden eyes match, and fewer pixels are wrong.
        """
        read = self.layout_generator.look_twice if twice else self.layout_generator
        with self.autocast():
            logits = _finite(read(image, mask, prior))
        layouts = likeliest_layout(logits, mask).byte().cpu().numpy()
        holes = mask[:, 0].cpu().numpy() > 0
        return np.stack([without_islands(layout, hole) for layout, hole in zip(layouts, holes, strict=True)])

    @torch.inference_mode()
    def _regress(self, faces, unknown):
        """Factors and offsets, N complex numbers each, of faces as of `_parse`; see `FrameRegressor`."""
        with self.autocast():
            factors, offsets = self.frame_regressor(*self._tensors(faces, unknown))
        return factors.cpu().numpy(), offsets.cpu().numpy()

    def _render(self, face, unknown, layout, seen, noise, light):
        """Paint one face, and `seen` of it, to a layout: a `_Painted`; see `_paint`.

        New glasses are painted upon the face without them: Stage 2 has seen few, and would paint pale eyes
        behind them.
        """
        lenses = behind_lenses(layout) & unknown
        # Of glasses that were there before some of the rims is seen; a hole for new ones takes them all.
        rims_seen = (layout == GLASSES) & ~behind_lenses(layout, RIM - WIDENING) & ~unknown
        if rims_seen.any() or not lenses.any():
            return self._paint(face, unknown, layout, seen, noise, light)
        # Brows and hair are where they are likely, eyes where the layout has them.
        likely = self._lay_out(*seen)[0]
        likely[np.isin(likely, (GLASSES, *EYES))] = SKIN
        bare = np.where(layout == GLASSES, likely, layout)
        without = self._paint(face, unknown, bare, seen, noise, light)
        face, _ = paste_back(face, unknown, without.pixels, SQUARE)
        rims = unknown & ~lenses & grown(layout == GLASSES, WIDENING)
        painted = self._paint(face, rims, layout, self._see(face[None], rims[None]), noise, None)
        pixels, _ = paste_back(face, rims, painted.pixels, SQUARE)
        grain = np.where(rims[..., None], painted.grain, without.grain)
        # Its own sources may lie where the photo is hidden.
        return _Painted(layout, pixels, grain, without.sources)

    @torch.inference_mode()
    def _paint(self, face, unknown, layout, seen, noise, light):
        """Paint one face in one pass.

        `noise` is a generator, `light` what `light_of` returns, which the hole is shown in, or None.
        """
        wanted = one_hot(torch.from_numpy(layout)[None].to(self.device))
        with self.autocast():
            new, attention = self.texture_generator(
                *seen, wanted, noise, with_attention=True, region=region_around(unknown)
            )
        if light is not None:
            # Afterwards: Stage 2 takes any light but the likeliest for structure and etches it into skin.
            new = new + start_of_face(torch.zeros_like(light), seen[1], light)
        new = even_skin(as_pictures(_finite(new))[0], unknown, layout)
        new = match_sharpness(face, new, unknown, layout)
        flow = find_flow(new, unknown, layout)
        new = smooth_along(flow, new, unknown, layout)
        smooth, restored = new, np.where(unknown[..., None], new, face)
        sources = pick_sources(attention[0].cpu().numpy(), restored, unknown, layout)
        if sources is not None:
            new = carry_detail(face, soften(face, new, unknown, layout), new, unknown, sources, SQUARE)
        grain = cv2.subtract(new, smooth, dtype=cv2.CV_16S)
        new = add_strands(flow, face, new, unknown, layout)
        return _Painted(layout, match_tone(face, unknown, new), grain, sources)

    def _tensors(self, faces, unknown):
        image, mask = (torch.from_numpy(np.asarray(values)).to(self.device) for values in (faces, unknown))
        return as_images(image), mask[:, None].float()

    def autocast(self):
        """The context in which the networks run: in the number format that this device is fast at."""
        return autocast(self.device, self.dtype)

    @torch.inference_mode()
    def _enlarge(self, face, painted):
        """A `_Painted` variation of a `_Face`; where that has a larger view, restored, at its size."""
        if not face.larger:
            return painted.pixels
        restored, _ = paste_back(face.pixels, face.unknown, painted.pixels, SQUARE)
        restored = cv2.subtract(restored, painted.grain, dtype=cv2.CV_8U)
        image = as_images(torch.from_numpy(restored[None]).to(self.device))
        with self.autocast():
            upsampled = as_pictures(_finite(self.face_upsampler(image)))[0]
        return enlarge(restored, upsampled, painted.grain, *face.larger, painted.layout)

    def _assemble(self, photo, mask, faces, shares, index, seed):
        """The `Result` of variation `index`; `shares` is each face's part of the hole, see `share_hole`."""
        picture, beyond = photo.rgb, mask
        # Each later face takes of the hole what is nearer to it than to all before it, next to what those
        # have painted: the edges are matched to that, too.
        for face, hole in zip(faces, shares, strict=True):
            painted = face.variations[index]
            new = self._enlarge(face, painted)
            # What no face has filled yet is still hidden.
            picture, left = paste_back(
                picture, hole | beyond, new, face.frame, painted.sources, painted.layout
            )
            beyond = beyond & left
        notes = [] if mask.any() else ["Nothing was painted over, so the picture is as it was."]
        main = faces[0]
        worth_telling = WORTH_PAINTING * np.count_nonzero(mask)
        outside = np.count_nonzero(beyond)
        if outside > worth_telling:
            painted = main.variations[index]
            picture, beyond = self._paint_around(picture, mask, beyond, main, painted, seed)
            if outside - np.count_nonzero(beyond) > worth_telling:
                notes.append("Part of the painted area lies outside the face; that is painted less well.")
        if beyond.any():
            picture = fill_plainly(picture, beyond)
            if np.count_nonzero(beyond) > worth_telling:
                notes.append("Part of the painted area lies far from the face; it got the colours around it.")
        shown = np.where(main.unknown[..., None], np.uint8(HOLE_GREY), main.pixels)
        return Result(
            photo=photo.filled(picture, mask),
            layout=main.variations[index].layout,
            aligned_input=Image.fromarray(shown),
            aligned_mask=main.unknown,
            aligned_painting=main.variations[index].pixels,
            frames=[face.frame for face in faces],
            notes=notes,
        )


def _view_larger(image, mask, frame):
    """A face that the photo shows larger than the networks take it, as `_Face.larger`."""
    if frame.side <= FACE_SIZE:
        return None
    return warp_to_frame(image, mask, frame.resized(round(min(FACTOR * FACE_SIZE, frame.side))))


def _within_reach(area, frame):
    """Points of H x W bool `area` which a square of `WIDEST` can hold beside the face; their hull holds all.

    Of each row the two ends, N x 2 photo coordinates.
    """
    reach = (WIDEST - 1) * FACE_SIZE
    corners = frame.to_photo([(-reach, -reach), (FACE_SIZE + reach, FACE_SIZE + reach)])
    (rows, columns), _ = frame.widened(corners, math.inf, 0).cut_out(*area.shape)
    near = area[rows, columns]
    y = np.flatnonzero(near.any(1))
    first, last = near[y].argmax(1), near.shape[1] - 1 - near[y, ::-1].argmax(1)
    return np.concatenate([np.column_stack([x + columns.start, y + rows.start]) for x in (first, last)])


def _of_face_size(frames):
    """Frames of aligned faces of any size as those of the networks' size; of None a list without any."""
    return [frame if frame.size == FACE_SIZE else frame.resized(FACE_SIZE) for frame in frames or ()]


def _whole_seed(seed):
    """A seed, also one of NumPy's integers, as an int that PyTorch takes; ValueError if it is none."""
    try:
        seed = operator.index(seed)
    except TypeError:
        seed = None
    if seed is None or not -MAX_SEED <= seed <= MAX_SEED:
        raise ValueError("The seed must be a whole number of at most 18 digits.")
    return seed


def _finite(output):
    """A network's output; FloatingPointError if it holds NaN or infinity: they would pass as a picture."""
    # Either makes the sum what it is, and a sum is one pass where a question of each number is three.
    if not output.sum(dtype=torch.float32).isfinite():
        raise FloatingPointError("a network's output is not finite")
    return output
