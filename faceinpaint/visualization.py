"""Pictures of what goes in and what comes out: tinted holes, layouts over photos, sheets to compare."""

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from .semantics import PALETTE

HOLE_TINT = (124, 58, 237)
TINT_OPACITY = 0.7
OVERLAY_OPACITY = 0.55

_MARGIN, _TITLE_HEIGHT = 16, 34
_PAPER, _INK = (250, 250, 250), (39, 39, 42)


def tint_hole(photo, mask):
    """Show the hole as a translucent tint over the photo.

    Args:
        photo: RGB PIL image.
        mask: H x W bool of its size.

    Returns:
        RGB PIL image.
    """
    return Image.composite(Image.blend(photo, Image.new("RGB", photo.size, HOLE_TINT), TINT_OPACITY), photo,
                           Image.fromarray(mask))  # fmt: skip


def overlay_layout(photo, layout, frame):
    """Show a layout over the photo, where its face lies.

    Args:
        photo: RGB PIL image.
        layout: 256 x 256 class ids.
        frame: `FaceFrame` of the face in the photo.

    Returns:
        RGB PIL image.
    """
    overlaid = np.array(photo)
    region, matrix = frame.cut_out(*overlaid.shape[:2])
    part = overlaid[region]
    options = {"dsize": part.shape[1::-1], "flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP}
    # Only the share fades at the frame's edge: with the colours it would fade twice, to a dark line.
    colours = cv2.warpAffine(PALETTE[layout], matrix, borderMode=cv2.BORDER_REPLICATE, **options)
    share = cv2.warpAffine(np.full(layout.shape, OVERLAY_OPACITY, np.float32), matrix, **options)[..., None]
    part[...] = (part * (1 - share) + colours * share).round()
    return Image.fromarray(overlaid)


def outline_faces(photo, frames):
    """Draw the frames in which faces were found, a list of `FaceFrame`; RGB PIL image."""
    outlined = photo.copy()
    draw = ImageDraw.Draw(outlined)
    for frame in frames:
        corners = [tuple(corner) for corner in frame.corners]
        draw.line([*corners, corners[0]], fill=HOLE_TINT, width=max(2, round(frame.side / 150)))
    return outlined


def mark_places(photo, places):
    """Draw a ring around each of the places (x, y), a list; RGB PIL image."""
    marked = photo.copy()
    draw = ImageDraw.Draw(marked)
    for x, y in places:
        draw.circle((x, y), max(marked.size) / 80, outline=HOLE_TINT, width=3)
    return marked


def crop_to_face(photo, frame):
    """The upright square around the face, a little wider than its frame, as far as the photo goes."""
    centre = frame.inverse @ ((frame.size - 1) / 2, (frame.size - 1) / 2, 1)
    half = 0.55 * frame.side
    left, top = np.maximum(np.floor(centre - half), 0).astype(int)
    right, bottom = np.minimum(np.ceil(centre + half), photo.size).astype(int)
    return photo.crop((left, top, right, bottom))


def comparison_sheet(pictures, side=420):
    """Lay pictures out on one sheet, three in a row, each under its title.

    Args:
        pictures: dict of title to RGB PIL image.
        side: of the square that each picture is fitted into, in pixels.

    Returns:
        RGB PIL image.
    """
    columns = min(3, len(pictures))
    rows = -(-len(pictures) // columns)
    cell_width, cell_height = side + _MARGIN, side + _TITLE_HEIGHT + _MARGIN
    sheet = Image.new("RGB", (columns * cell_width + _MARGIN, rows * cell_height + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (title, picture) in enumerate(pictures.items()):
        left = _MARGIN + number % columns * cell_width
        top = _MARGIN + number // columns * cell_height
        draw.text((left, top + 6), title, fill=_INK, font=ImageFont.load_default(18))
        fitted = ImageOps.contain(picture, (side, side), Image.Resampling.LANCZOS)
        sheet.paste(
            fitted,
            (left + (side - fitted.width) // 2, top + _TITLE_HEIGHT + (side - fitted.height) // 2),
        )
    return sheet
