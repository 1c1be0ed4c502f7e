"""Photos and masks from files, with a kind sentence for every file that is not one."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 50_000_000

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def read_photo(path):
    """Open a photo upright, as an RGB PIL image.

    Raises:
        ValueError: no such file, not a picture, damaged, or more than 50 megapixels.
    """
    name = Path(path).name
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(
                    f"{name} has {picture.width * picture.height / 1e6:.0f} megapixels; at most "
                    f"{MAX_PIXELS // 1_000_000} can be handled. Save it smaller and try again."
                )
            return ImageOps.exif_transpose(picture).convert("RGB")
    except FileNotFoundError as error:
        raise ValueError(f"There is no file {path}.") from error
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{name} has far too many pixels; at most {MAX_PIXELS // 1_000_000} megapixels can be handled."
        ) from error
    except (UnidentifiedImageError, IsADirectoryError) as error:
        raise ValueError(f"{name} is not a picture that can be opened.") from error
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{name} is damaged and cannot be read to its end.") from error


def read_mask(path):
    """Open a mask as an H x W bool array: true where the picture is brighter than mid-grey."""
    return np.asarray(read_photo(path).convert("L")) > 127


def check_image(image):
    """A photo as an H x W x 3 uint8 RGB array.

    Args:
        image: PIL image of any mode, or an H x W x 3 (or H x W grey) uint8 array.

    Raises:
        ValueError: it is something else, or smaller than 16 pixels on a side.
    """
    if isinstance(image, Image.Image):
        try:
            image = np.array(image.convert("RGB"))
        except (OSError, SyntaxError) as error:
            raise ValueError("The picture is damaged and cannot be read to its end.") from error
    image = np.asarray(image)
    if image.dtype == np.uint8 and image.ndim == 2:
        image = np.repeat(image[..., None], 3, 2)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError("This is not a picture: 8-bit RGB is needed, height x width x 3.")
    if min(image.shape[:2]) < 16:
        raise ValueError(
            f"This picture is only {image.shape[1]} x {image.shape[0]} pixels; "
            "at least 16 x 16 are needed to see a face."
        )
    return image


def check_mask(mask, image):
    """A mask as an H x W bool array of the image's size; ValueError if it is of another size or shape."""
    mask = np.asarray(mask.convert("L") if isinstance(mask, Image.Image) else mask)
    if mask.ndim == 3 and mask.shape[2] == 1:
        mask = mask[..., 0]
    if mask.ndim != 2:
        raise ValueError("The mask must be one number a pixel, height x width, nonzero where to fill.")
    if mask.shape != image.shape[:2]:
        raise ValueError(
            f"The mask is {mask.shape[1]} x {mask.shape[0]} pixels but the picture is "
            f"{image.shape[1]} x {image.shape[0]}: they must be of one size."
        )
    if not (np.issubdtype(mask.dtype, np.bool_) or np.isfinite(mask).all()):
        raise ValueError("The mask holds something that is not a number.")
    return mask != 0
