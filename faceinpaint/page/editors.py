"""The two editors: strokes over the photo become its hole, strokes over the layout another layout."""

from dataclasses import replace

import gradio as gr
import numpy as np
from PIL import Image

from ..masks import repaint_mask, resize_mask
from ..semantics import PALETTE, layout_to_picture, picture_to_layout
from ..visualization import HOLE_TINT, TINT_OPACITY
from .visits import fit

CANVAS_SIDE = 1024  # the photo editor shows larger photos smaller; the photo itself is kept aside
LAYOUT_SIDE = 512  # twice the layout, for finer strokes

MASK_BRUSH_SIZE, CLASS_BRUSH_SIZE, ERASER_SIZE = 28, 24, 36

CLASS_COLOURS = [f"rgb({red}, {green}, {blue})" for red, green, blue in PALETTE]


def photo_canvas(visit):
    """The photo editor's value: the photo as large as the canvas may be, its hole as strokes."""
    shown = fit(visit.image, CANVAS_SIDE)
    layer = Image.new("RGBA", shown.size, HOLE_TINT)
    painted = resize_mask(visit.mask, *shown.size)
    layer.putalpha(Image.fromarray(painted * np.uint8(255 * TINT_OPACITY)))
    # Without a composite: Gradio would paint the strokes twice.
    return {"background": shown, "layers": [layer], "composite": None}


def read_painting(visit, painting):
    """Take the strokes on the photo editor's canvas over into the visit's mask."""
    if not painting or painting["background"] is None:
        raise ValueError("There is no photo yet. Please add one and paint over a part of it.")
    width, height = painting["background"].size
    painted = np.zeros((height, width), bool)
    for layer in painting["layers"]:
        painted |= resize_mask(np.asarray(layer.getchannel("A")) > 0, width, height)
    return replace(visit, mask=repaint_mask(visit.mask, painted))


def layout_canvas(layout):
    """The layout editor's value."""
    picture = layout_to_picture(layout).resize((LAYOUT_SIDE, LAYOUT_SIDE), Image.Resampling.NEAREST)
    # Without a layer the editor's undo takes the picture away.
    return {"background": picture, "layers": [Image.new("RGBA", picture.size)], "composite": None}


def read_layout(painting):
    """Read the class ids from the layout editor's value, strokes over the picture."""
    picture = (painting or {}).get("background")
    if picture is None or picture.getchannel("A").getextrema()[0] < 255:
        raise ValueError("A part of the layout is missing. Press Undo my changes to bring it back.")
    if any(part.size != (LAYOUT_SIDE, LAYOUT_SIDE) for part in (picture, *painting["layers"])):
        raise ValueError(f"The layout's picture must have {LAYOUT_SIDE} x {LAYOUT_SIDE} pixels.")
    for layer in painting["layers"]:
        picture = Image.alpha_composite(picture, layer)
    step = LAYOUT_SIDE // 256
    return picture_to_layout(picture)[step // 2 :: step, step // 2 :: step]


def build_editor(label, brush, **options):
    """An editor for strokes over a picture that cannot be moved, cut or replaced."""
    return gr.ImageEditor(
        type="pil",
        format="png",
        label=label,
        brush=brush,
        # Wider than the brushes: what is erased along a stroke leaves no rim of it.
        eraser=gr.Eraser(default_size=ERASER_SIZE),
        layers=False,
        sources=(),
        transforms=(),
        # Gradio misplaces the strokes of a picture that is smaller than this.
        canvas_size=(16, 16),
        **options,
    )


def mask_brush():
    """A brush of the translucent tint that stands for the hole."""
    tint = f"rgb{HOLE_TINT}", TINT_OPACITY
    return gr.Brush(colors=[tint], color_mode="fixed", default_size=MASK_BRUSH_SIZE)


def class_brush(index):
    """A brush of one class's colour: strokes in any other colour cannot happen."""
    colour = CLASS_COLOURS[index]
    size = CLASS_BRUSH_SIZE
    return gr.Brush(colors=[colour], default_color=colour, color_mode="fixed", default_size=size)
