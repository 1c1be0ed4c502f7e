"""Photos, masks and layouts from files and back, with a kind sentence for every file that is not one."""

import contextlib
import functools
import struct
import zlib
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageCms, JpegImagePlugin, UnidentifiedImageError
from pillow_heif import from_bytes, open_heif, register_heif_opener

from .alignment import FACE_SIZE
from .provenance import PNG_CHUNK, mark
from .semantics import PALETTE, SAME_COLOUR, picture_to_layout

register_heif_opener()

MAX_PIXELS = 50_000_000

_READ = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "BMP", "GIF")
"""Formats that are opened, whatever a file is called. Pillow knows others, and starts programs for some."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".heif", ".tif", ".tiff", ".bmp", ".gif")
"""Endings of the names of such files."""

_LOSSLESS = {
    "PNG": {"compress_level": 3},
    "TIFF": {"compression": "tiff_deflate"},
    "WEBP": {"lossless": True, "exact": True},
    "HEIF": {"quality": -1, "chroma": 444, "matrix_coefficients": 0},
    "BMP": {},
}
"""Options for Pillow with which a format gives back exactly what it was given."""

_HEIF_COLOURS = ("color_primaries", "transfer_characteristics")
"""What tells the meaning of colours in a HEIC without an ICC profile."""

_LOSSY = {"JPEG": {"quality": 95, "subsampling": 0}, "AVIF": {"quality": 90, "subsampling": "4:4:4"}}

_MODES = {
    "PNG": ("L", "LA", "RGB", "RGBA"),
    "TIFF": ("L", "LA", "RGB", "RGBA", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "HEIF": ("RGB", "RGBA"),
    "AVIF": ("RGB", "RGBA"),
    "JPEG": ("L", "RGB", "CMYK"),
    "BMP": ("L", "RGB"),
}
"""Pixels that a format can hold."""

_DAMAGED = (OSError, SyntaxError, EOFError, RuntimeError, struct.error)
"""What Pillow and its plugins raise for files that are damaged."""

_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo as its file holds it, set upright.

    Attributes:
        pixels: H x W x channels, uint8 or uint16.
        mode: what the channels are: "L" (grey), "LA", "RGB", "RGBA" or "CMYK"; A is opacity.
        profile: bytes of the ICC profile that the colours are meant in, or None for sRGB.
        format: Pillow's name of the file's format, such as "JPEG"; None where there was no file.
        jpeg: Pillow's options that compress a JPEG as this one was, or None.
        heif: pillow-heif's options that code colours as this HEIC did, or None: "bit_depth", of more than 8
            bits, whose levels `pixels` has stretched to 16; "color_primaries", "transfer_characteristics".
        edited: part of it was made up by a model; its file shall say so.
    """

    pixels: np.ndarray
    mode: str
    profile: bytes | None = None
    format: str | None = None
    jpeg: dict | None = None
    heif: dict | None = None
    edited: bool = False

    @classmethod
    def open(cls, path):
        """Read a file.

        Raises:
            ValueError: no such file, not a picture, damaged, more than 50 megapixels, or colours of a kind or
                depth that would be lost.
        """
        with _open_picture(path) as picture:
            return cls._from_pil(picture, path)

    @classmethod
    def of(cls, image):
        """A picture in memory as a photo of at least 16 x 16 pixels.

        Args:
            image: a `Photo`, a PIL image of any mode (one that says how it is to be turned is turned), or an
                H x W x 3 RGB (or H x W grey) uint8 array.

        Raises:
            ValueError: it is something else, damaged, or too small.
        """
        if isinstance(image, Image.Image):
            try:
                photo = cls._from_pil(image)
            except _DAMAGED as error:
                raise ValueError("The picture is damaged and cannot be read to its end.") from error
        elif isinstance(image, Photo):
            photo = image
        else:
            pixels = np.asarray(image)
            if pixels.dtype == np.uint8 and pixels.ndim == 2:
                pixels = pixels[..., None]
            if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
                raise ValueError("This is not a picture: 8-bit RGB is needed, height x width x 3.")
            photo = cls(pixels, "L" if pixels.shape[2] == 1 else "RGB")
        if min(photo.pixels.shape[:2]) < 16:
            raise ValueError(
                f"This picture is only {photo.pixels.shape[1]} x {photo.pixels.shape[0]} pixels; "
                "at least 16 x 16 are needed to see a face."
            )
        _check_pixels("This picture", photo.pixels.shape[0] * photo.pixels.shape[1])
        return photo

    @classmethod
    def _from_pil(cls, image, path=None):
        # Pillow gives 8 bits of deeper colours, and forgets a PNG's or TIFF's depth when it decodes.
        bits = _deep_bits(image, path) if path else 8
        grey = bool(path) and "LA;16" in str(image.tile[:1])
        with _plugin_errors():
            image.load()
        jpeg, heif = None, None
        if image.format in ("JPEG", "MPO"):
            # Compressed by the tables that it came with, known pixels change least.
            subsampling = max(0, JpegImagePlugin.get_sampling(image))
            jpeg = {"qtables": image.quantization, "subsampling": subsampling}
        elif image.format == "HEIF":
            meaning = image.info.get("nclx_profile", {})
            heif = {key: meaning[key] for key in _HEIF_COLOURS if key in meaning}
        # A TIFF has been turned by Pillow, and by OpenCV too.
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        profile = image.info.get("icc_profile") or None
        if bits == 8:
            pixels, mode = _read_pixels(image)
        elif image.format == "HEIF":
            pixels, mode = _read_deep_heif(path, bits)
            heif["bit_depth"] = bits
        else:
            pixels, mode = _read_deep(path, bits)
            if grey:
                # OpenCV makes colours of the grey, which its profile would not fit.
                pixels, mode = pixels[..., 2:], "LA"
        return cls(_turn(pixels, orientation), mode, profile, image.format, jpeg, heif)

    @property
    def suffix(self):
        """File name ending for `save` to keep every pixel: the own format's if it can, ".png" or ".tif"."""
        suffixes = {"TIFF": ".tif", "WEBP": ".webp", "HEIF": ".heic", "BMP": ".bmp"}
        holds = self.mode in _MODES.get(self.format, ()) and (not self._deep_colour or self._deep_heif)
        if self.format in suffixes and holds:
            return suffixes[self.format]
        return ".tif" if self.mode == "CMYK" else ".png"

    @property
    def image(self):
        """The photo as a PIL image, its profile in `info["icc_profile"]`; 16-bit colours in 8 bits."""
        if self.mode == "L" and self.pixels.dtype == np.uint16:
            image = Image.fromarray(self.pixels[..., 0])
        else:
            image = _to_pil(_eight_bits(self.pixels), self.mode)
        if self.profile:
            image.info["icc_profile"] = self.profile
        return image

    @functools.cached_property
    def rgb(self):
        """What the networks see: H x W x 3 uint8 in sRGB, opacity left out. Not to be written into."""
        return self._seen(self.pixels)

    def _seen(self, pixels):
        """H x W x 3 uint8 in sRGB of pixels such as the photo's own."""
        colours = _eight_bits(pixels[..., : self._colours])
        if self.mode == "RGB" and not self.profile:
            return colours
        return np.asarray(self._to_srgb(_to_pil(colours, self._colour_mode)))

    def filled(self, rgb, mask):
        """The photo with other colours in its hole; all else, opacity too, as it is.

        But what was erased within the hole, to transparency, is opaque again: it would hide what is painted.

        Args:
            rgb: H x W x 3 uint8 in sRGB.
            mask: H x W bool, true in the hole.
        """
        filling = self.pixels[mask]
        if mask.any():
            new = np.asarray(self._from_srgb(Image.fromarray(rgb[mask][None]))).reshape(-1, self._colours)
            filling[:, : self._colours] = new * np.uint16(257) if filling.dtype == np.uint16 else new
        opaque = np.iinfo(filling.dtype).max
        if filling.shape[1] > self._colours and (filling[:, -1] < opaque).any():
            count, pieces = cv2.connectedComponents(np.uint8(self.pixels[..., -1] < opaque))
            goes_on_outside = np.bincount(pieces[~mask], minlength=count) > 0
            filling[~goes_on_outside[pieces[mask]], -1] = opaque
        return self.with_filling(filling, mask)

    def with_filling(self, filling, mask):
        """The photo with other pixels in its hole.

        Args:
            filling: n x channels, of the photo's own mode and depth.
            mask: H x W bool, true in the hole, n times.
        """
        if not mask.any():
            return self
        pixels = self.pixels.copy()
        pixels[mask] = filling
        filled = replace(self, pixels=pixels, edited=True)
        if "rgb" in vars(self):
            # What is seen of the rest is known; a profile's conversion of 12 megapixels takes a second.
            seen = self.rgb.copy()
            seen[mask] = self._seen(filling[None])[0]
            vars(filled)["rgb"] = seen
        return filled

    def save(self, path):
        """Write the photo, with its profile, the mark of an edited one, and nothing else that its file told.

        PNG, TIFF, WebP, HEIC and BMP hold it exactly, as far as they have its channels and depth; else it is
        converted. JPEG and AVIF change pixels a little.

        Raises:
            ValueError: the name is not a picture's, its format can't hold opacity, or it can't be written.
        """
        path = Path(path)
        format = Image.registered_extensions().get(path.suffix.lower())
        if format not in _MODES:
            raise ValueError(f"{path} cannot be written; give it the name of a picture, such as out.png.")
        if "A" in self.mode and not any("A" in mode for mode in _MODES[format]):
            raise ValueError(f"{path} cannot be written: such a file holds no transparency, .png does.")
        options = _LOSSLESS.get(format) or (format == "JPEG" and self.jpeg) or _LOSSY.get(format, {})
        options = options | (mark(format) if self.edited else {})
        if format == "HEIF":
            options = options | (self.heif or {})
        try:
            if format == "PNG" and self._deep_colour:
                path.write_bytes(self._deep_png())
                return
            if format == "HEIF" and self._deep_heif:
                height, width = self.pixels.shape[:2]
                file = from_bytes(f"{self.mode};16", (width, height), self.pixels.tobytes())
                file.save(path, **options, **({"icc_profile": self.profile} if self.profile else {}))
                return
            image, profile = self.image, self.profile
            if image.mode == "I;16" and format not in ("PNG", "TIFF"):
                image = _to_pil(_eight_bits(self.pixels), "L")
            if self.mode == "CMYK" and "CMYK" not in _MODES[format]:
                image, profile = Image.fromarray(self.rgb), None
            elif self.mode not in _MODES[format]:
                # Grey without a grey format: a grey profile would not fit the three channels.
                colour = np.dstack([self.rgb, *np.moveaxis(_eight_bits(self.pixels), 2, 0)[1:]])
                image, profile = _to_pil(colour, "RGBA" if "A" in self.mode else "RGB"), None
            image.info = {}
            image.save(path, format, icc_profile=profile, **options)
        except (ValueError, OSError) as error:
            raise ValueError(f"{path} cannot be written: {error}") from error

    @property
    def _colours(self):
        """Number of channels without opacity."""
        return len(self._colour_mode)

    @property
    def _colour_mode(self):
        return self.mode.removesuffix("A")

    @property
    def _deep_colour(self):
        return self.pixels.dtype == np.uint16 and self.mode != "L"

    @property
    def _deep_heif(self):
        """Whether it came as a HEIC that holds these deep colours."""
        return self._deep_colour and (self.heif or {}).get("bit_depth") in (10, 12)

    def _to_srgb(self, image):
        """PIL image of the photo's colours as sRGB."""
        return self._convert(image, "RGB", lambda own: (own, _SRGB))

    def _from_srgb(self, image):
        """PIL image in sRGB as the photo's colours."""
        return self._convert(image, self._colour_mode, lambda own: (_SRGB, own))

    def _convert(self, image, mode, order):
        if self.profile:
            try:
                profiles = order(ImageCms.ImageCmsProfile(BytesIO(self.profile)))
                intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
                flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
                return ImageCms.profileToProfile(image, *profiles, intent, mode, flags=flags)
            except (ImageCms.PyCMSError, OSError):
                pass  # a damaged profile, or one for other channels: such files are meant in sRGB
        return image.convert(mode)

    def _deep_png(self):
        """16-bit colours, or grey and opacity, as a PNG file, which Pillow cannot write."""
        height, width = self.pixels.shape[:2]
        levels = self.pixels.astype(">u2").view(np.uint8).reshape(height, -1)
        # Rows say, after a 2, by how much they differ from the row above: that takes less space.
        rows = np.diff(np.pad(levels, ((1, 0), (1, 0))), axis=0)
        rows[:, 0] = 2
        # Photos get no smaller by the default strategy, which takes twice as long.
        packer = zlib.compressobj(1, strategy=zlib.Z_RLE)
        kind = {"RGB": 2, "LA": 4, "RGBA": 6}[self.mode]
        chunks = [b"IHDR" + struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)]
        chunks += [b"iCCPICC profile\0\0" + zlib.compress(self.profile)] if self.profile else []
        chunks += [PNG_CHUNK] if self.edited else []
        chunks += [b"IDAT" + packer.compress(rows) + packer.flush(), b"IEND"]
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
            for chunk in chunks
        )


@contextlib.contextmanager
def _open_picture(path):
    """A file as a PIL image, not decoded yet; errors, of its use too, are those of `Photo.open`."""
    name = Path(path).name
    try:
        with _plugin_errors():
            picture = Image.open(path, formats=_READ)
        with picture:
            _check_pixels(name, picture.width * picture.height)
            yield picture
    except FileNotFoundError as error:
        # Without its folder: that of an upload is none of the visitor's concern.
        raise ValueError(f"There is no file {name}.") from error
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{name} has far too many pixels; at most {MAX_PIXELS // 1_000_000} megapixels can be handled."
        ) from error
    except (UnidentifiedImageError, IsADirectoryError) as error:
        raise ValueError(f"{name} is not a picture that can be opened.") from error
    except _DAMAGED as error:
        raise ValueError(f"{name} is damaged and cannot be read to its end.") from error


def read_photo(path):
    """Open a photo upright, as an RGB PIL image in sRGB; errors are those of `Photo.open`."""
    return Image.fromarray(Photo.open(path).rgb)


def read_layout_file(path):
    """Class ids, H x W of whole numbers, of a picture of them or of the classes' colours.

    Raises:
        ValueError: it is not a picture of 256 x 256, or its colours are others.
    """
    with _open_picture(path) as picture:
        name = Path(path).name
        if picture.size != (FACE_SIZE, FACE_SIZE):
            # Before its colours are looked up: a photo has millions of them.
            raise ValueError(
                f"The layout {name} is {picture.width} x {picture.height} pixels; "
                f"it must be {FACE_SIZE} x {FACE_SIZE}, one for each of the aligned face."
            )
        ids = np.asarray(picture)
        if picture.mode not in ("P", "RGB", "RGBA"):
            return ids
        colours = np.asarray(picture.convert("RGB"))
    layout = picture_to_layout(colours)
    # Soft edges are of other colours, and so is all of a photo.
    own = abs(colours - PALETTE[layout].astype(int)).max(-1) <= SAME_COLOUR
    if own.mean() > 0.5:
        return layout
    if picture.mode == "P":
        # Its palette is but how a program shows the ids.
        return ids
    raise ValueError(f"The colours of {name} are not those of the layout's classes.")


def read_mask(path):
    """Open a mask as an H x W bool array: true where the picture is brighter than mid-grey.

    Strokes of whatever colour on an empty layer are true all over.

    Raises:
        ValueError: see `Photo.open`; or it is a picture with a part cut out, which could mean either.
    """
    photo = Photo.open(path)
    bright = np.asarray(Image.fromarray(photo.rgb).convert("L")) > 127
    if "A" not in photo.mode:
        return bright
    opacity = photo.pixels[..., -1]
    return (opacity > 0) & (bright | _are_strokes(photo.rgb, opacity))


def check_mask(mask, image):
    """A mask, an array or PIL image, as an H x W bool array of the image's size, true where it is not 0.

    Of a PIL image in colour that is its brightness; strokes on an empty layer are true all over.

    Raises:
        ValueError: it is of another size or shape, holds something that is not a number, or is a picture with
            a part cut out, which could mean either.
    """
    if isinstance(mask, Image.Image) and mask.has_transparency_data:
        layer = mask.convert("RGBA")
        colours, opacity = np.split(np.asarray(layer), [3], axis=2)
        opacity = opacity[..., 0]
        bright = np.asarray(layer.convert("L")) != 0
        mask = (opacity > 0) & (bright | _are_strokes(colours, opacity))
    elif isinstance(mask, Image.Image) and len(mask.getbands()) + (mask.mode == "P") > 1:
        mask = mask.convert("L")
    mask = np.asarray(mask)
    if mask.ndim == 3 and mask.shape[2] == 1:
        mask = mask[..., 0]
    if mask.ndim != 2:
        raise ValueError("The mask must be one number a pixel, height x width, nonzero where to fill.")
    if mask.shape != image.shape[:2]:
        raise ValueError(
            f"The mask is {mask.shape[1]} x {mask.shape[0]} pixels but the picture is "
            f"{image.shape[1]} x {image.shape[0]}: they must be of one size."
        )
    is_number = np.issubdtype(mask.dtype, np.number) and np.isfinite(mask).all()
    if not (is_number or mask.dtype == bool):
        raise ValueError("The mask holds something that is not a number.")
    return mask != 0


def _are_strokes(colours, opacity):
    """Whether a mask is told by where it is painted, not by its colours.

    Args:
        colours: H x W x 3 uint8.
        opacity: H x W, uint8 or uint16.

    Raises:
        ValueError: it is neither strokes nor black and white.
    """
    clear = opacity == 0
    if not clear.any():
        return False
    # Where opacity is low, colours are not exact; a layer may be faded as a whole.
    painted = colours[opacity >= opacity.max() / 2]
    bright = cv2.cvtColor(painted[None], cv2.COLOR_RGB2GRAY) > 127
    if bright.all() or not bright.any():
        return True
    if (np.ptp(painted, 1) < 32).mean() > 0.9:
        return False
    if clear.mean() < 0.5:
        raise ValueError(
            "This mask is a picture with a part cut out, so it does not tell what to fill. "
            "Make it white where to fill and black elsewhere, or paint on an empty layer in one colour."
        )
    return True


@contextlib.contextmanager
def _plugin_errors():
    """Tell a format's own ValueError for a damaged file apart from the sentences of this module."""
    try:
        yield
    except ValueError as error:
        raise OSError(str(error)) from error


def _check_pixels(name, pixels):
    if pixels > MAX_PIXELS:
        raise ValueError(
            f"{name} has {pixels / 1e6:.0f} megapixels; at most {MAX_PIXELS // 1_000_000} can be handled. "
            "Save it smaller and try again."
        )


def _deep_bits(image, path):
    """Bits a channel of a PIL image that was opened from `path` and not decoded yet; 8 where Pillow does."""
    if image.format == "HEIF":
        return image.info["bit_depth"]
    if image.format == "AVIF":
        # The third byte of an AV1 configuration box tells: more than 8 bits, and then whether they are 12.
        data = Path(path).read_bytes()
        at = data.find(b"av1C")
        flags = data[at + 6] if 0 <= at < len(data) - 6 else 0
        if not flags & 0x40 or not cv2.haveImageReader(str(path)):
            return 8
        return 12 if flags & 0x20 else 10
    deep = ";16" in str(image.tile[:1])
    if deep and image.mode == "CMYK":
        raise ValueError("CMYK of 16 bits cannot be read. Save it with 8 bits, or as RGB, and try again.")
    return 16 if deep and image.mode in ("RGB", "RGBA") else 8


def _read_deep(path, bits):
    """Pixels, H x W x channels uint16, and mode of a PNG, TIFF or AVIF of more than 8 bits a channel."""
    pixels = cv2.imdecode(np.frombuffer(Path(path).read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise OSError(f"OpenCV cannot read these {bits}-bit colours")
    pixels = _stretch(pixels, bits)
    if pixels.ndim == 2:
        return pixels[..., None], "L"
    order = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
    return cv2.cvtColor(pixels, order), "RGB" if pixels.shape[2] == 3 else "RGBA"


def _read_deep_heif(path, bits):
    """Pixels, H x W x channels uint16, and mode of a HEIC of more than 8 bits a channel."""
    with _plugin_errors():
        file = open_heif(path, convert_hdr_to_8bit=False)
        # Its levels come in the upper bits, those of white not quite white.
        pixels = _stretch(np.asarray(file) >> (16 - bits), bits)
    mode = {"I;16": "L", "RGB;16": "RGB", "RGBA;16": "RGBA"}.get(file.mode)
    if mode is None:
        raise ValueError(f"The colours of this picture ({file.mode}) cannot be read. Save it with 8 bits.")
    return pixels.reshape(*pixels.shape[:2], len(mode)), mode


def _stretch(levels, bits):
    """Levels of 8 to 16 bits as 16-bit ones, white as white; the upper bits of those are the levels."""
    return levels << (16 - bits) | levels >> (2 * bits - 16)


def _read_pixels(image):
    """Pixels, H x W x channels, and mode of a PIL image, in the nearest mode that `Photo` knows."""
    mode = image.mode
    if mode == "I" or mode.startswith("I;16"):
        pixels = np.asarray(image)
        if pixels.min(initial=0) < 0 or pixels.max(initial=0) > 65535:
            raise ValueError("Pictures with 32 bits a pixel cannot be read. Save it with 8 or 16 bits.")
        pixels = pixels.astype(np.uint16)[..., None]
        if not image.has_transparency_data:
            return pixels, "L"
        opacity = np.where(pixels == image.info["transparency"], 0, 65535)
        return np.dstack([pixels, opacity.astype(np.uint16)]), "LA"
    if mode == "F" or mode == "LAB":
        raise ValueError("The colours of this picture cannot be read. Save it as 8-bit RGB and try again.")
    if mode in ("1", "L"):
        wanted = "LA" if image.has_transparency_data else "L"
    elif mode in ("LA", "La"):
        wanted = "LA"
    elif mode == "CMYK":
        wanted = "CMYK"
    else:
        wanted = "RGBA" if image.has_transparency_data else "RGB"
    pixels = np.array(image if mode == wanted else image.convert(wanted))
    return pixels.reshape(*pixels.shape[:2], len(wanted)), wanted


def _turn(pixels, orientation):
    """Set pixels upright as the EXIF orientation, 1 to 8, says."""
    if orientation in (3, 4, 7):
        pixels = pixels[::-1]
    if orientation in (2, 3, 7):
        pixels = pixels[:, ::-1]
    if orientation in (5, 7):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (6, 8):
        pixels = np.rot90(pixels, -1 if orientation == 6 else 1)
    return np.ascontiguousarray(pixels)


def _eight_bits(pixels):
    if pixels.dtype == np.uint8:
        return pixels
    return cv2.convertScaleAbs(pixels, alpha=1 / 257).reshape(pixels.shape)


def _to_pil(pixels, mode):
    """A PIL image of H x W x channels uint8 pixels."""
    height, width = pixels.shape[:2]
    return Image.frombuffer(mode, (width, height), np.ascontiguousarray(pixels), "raw", mode, 0, 1)
