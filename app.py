"""The page: paint over part of a face, see the layout and the restored face, repaint the layout, compare.

Components, events and words only; the work is done by `faceinpaint`. Importing this module starts nothing and
loads no weights. Run `python app.py` and open the address that it prints.
"""

try:
    import spaces  # must come before torch where it exists (ZeroGPU)
except ImportError:
    spaces = None

import contextlib
import ctypes
import functools
import logging
import os
import secrets
import signal
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import torch
from gradio.processing_utils import check_all_files_in_cache
from gradio.themes.utils.fonts import LocalFont
from gradio.utils import get_upload_folder
from PIL import EpsImagePlugin, Image

from faceinpaint import FaceInpainter
from faceinpaint.alignment import FaceFrame
from faceinpaint.examples import read_examples
from faceinpaint.layout_editing import EDITS, fill_region, widen_hole
from faceinpaint.masks import lower_half, part_mask, random_mask, repaint_mask, resize_mask
from faceinpaint.photos import MAX_PIXELS, Photo, read_layout_file, read_mask
from faceinpaint.pipeline import MAX_VARIATIONS
from faceinpaint.semantics import CLASSES, PALETTE, layout_to_picture, picture_to_layout
from faceinpaint.temporary_files import delete_old_files, own_folder
from faceinpaint.visits import PHOTO, PLACES, Attempt, Press, Visit, fit, hidden_share
from faceinpaint.visualization import (
    HOLE_TINT,
    TINT_OPACITY,
    comparison_sheet,
    mark_places,
    outline_faces,
    tint_hole,
)

CACHE_SECONDS = 3600  # within which every file of a visitor is deleted
CHECK_SECONDS = 300  # how often files are looked through for that
GPU_SECONDS = 20  # four variations of 24 megapixels, with time to spare
MAX_FILE_BYTES = 300_000_000  # the largest photo, 50 megapixels, with 16 bits a colour
MAX_SESSIONS = 2000  # an unused one, such as a request through the API, has 0.2 MB; the oldest are forgotten
MAX_VISITS_BYTES = 4_000_000_000  # of all visits together; the photos of the oldest ones are forgotten
CANVAS_SIDE = 1024  # the editor shows larger photos smaller; the photo itself is kept aside
LAYOUT_SIDE = 512  # twice the layout, for finer strokes
SAME_FACE = 0.05  # frames less far apart, in eye distances, are of the same face

PHOTO_WORK, LAYOUT_WORK = "photo-work", "layout-work"  # classes of what waits for the answer to a press
CLASS_COLOURS = [f"rgb({red}, {green}, {blue})" for red, green, blue in PALETTE]
FIRST_CLASS = CLASSES.index("hair")
PART_GROWTH = 6  # pixels of the 256-pixel face by which a chosen part's hole reaches beyond it
PARTS = {
    name: functools.partial(lambda part, layout: grown_part(layout, part), name.lower())
    for name in ("Eyes", "Glasses", "Nose", "Mouth", "Hair", "Skin")
} | {"Lower half": lower_half}

FACE, WHOLE = "The face", "The whole photo"

THEME = gr.themes.Default(
    primary_hue="violet",
    neutral_hue="zinc",  # the editors' canvas is of this grey
    text_size="lg",
    radius_size="lg",
    # Gradio's file for the default second weight, 600, lacks the Latin letters.
    font=(LocalFont("Source Sans Pro", weights=(400, 700)), "system-ui", "sans-serif"),
).set(
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    body_text_color_subdued="*neutral_500",
    checkbox_border_color_dark="*neutral_500",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
)

# Gradio's radio buttons become the legend: each wears the colour of its class.
CSS = "#palette label { border-left-width: 14px; padding: 2px 8px 2px 6px; font-size: 14px }" + "".join(
    f"#palette label:nth-of-type({number}) {{ border-left-color: {colour} }}"
    for number, colour in enumerate(CLASS_COLOURS, 1)
)

# On a phone the editors are as wide as the screen; higher than that they would only be empty. Titles of
# three thumbnails in a row would be cut off.
CSS += """
@media (max-width: 640px) {
    #photo, #upload { height: 380px !important }
    #examples .grid-container, #attempts .grid-container { --grid-cols: 2 !important }
}
"""

# There the layout is below the result, which stays in view, so that one sees the face follow.
CSS += """
.gradio-container { overflow: clip !important }
@media (max-width: 640px) {
    #steering { flex-flow: column nowrap }
    #steering > .column { display: contents }
    #result:not(.fullscreen) { position: sticky; top: 0; z-index: 9; height: 260px !important }
    #layout { height: 350px !important; isolation: isolate }
}
"""

# For scripts to click. What Gradio itself hides it shows when what it is in comes back.
CSS += ".unseen { display: none !important }"

# What waits for the answer to a press.
CSS += "[inert] { opacity: .5 }"

# Of a radio button with the keyboard's focus Gradio marks little more than nothing.
CSS += "#palette label:focus-within { outline: 3px solid var(--primary-500) }"

# As high as their thumbnails.
CSS += ".fixed-height { min-height: 0 !important; max-height: none !important }"

# A small photo's result is shown as large as the editor shows the photo.
CSS += "#result img { width: 100%; height: 100%; object-fit: contain }"

# Headings are a pixel higher than their boxes, which would make those scroll.
CSS += ".hide-container.auto-margin { overflow: visible !important }"

# The editors' own bin would take the picture away with the strokes; Clear and Undo my changes do not.
CSS += "#photo button[aria-label='Clear canvas'], #layout button[aria-label='Clear canvas'] { display: none }"

# A sentence has told what went wrong; Gradio's pill would stay on the picture, even after the next success.
CSS += "[data-testid='status-tracker']:has(.error) { display: none !important }"

# In the line above the button Gradio hides what it writes of the progress.
CSS += """
#hidden [data-testid='status-tracker'] { overflow: visible !important }
#hidden .progress-text { transform: none !important }
"""

# Gradio's own `scroll_to_output` stops at the component that shows the progress.
SCROLL_TO_RESULT = "() => document.querySelector('#result').scrollIntoView({block: 'nearest'})"

# On a slow line, from a press until what is painted has arrived.
CSS += """
body[data-sending]::after {
    content: attr(data-sending);
    position: fixed; bottom: 20px; left: 50%; transform: translateX(-50%);
    padding: 8px 18px; border-radius: 99px; background: #27272a; color: white; z-index: 9;
    opacity: 0; animation: appear .2s .5s forwards;
}
@keyframes appear { to { opacity: 1 } }
"""
SENDING = """() => {
    const page = document.body.dataset
    page.sending = 'Sending what you painted …'
    clearTimeout(window.unsent)
    window.unsent = setTimeout(() => { page.sending = 'This takes a while. Are you still connected?' }, 20000)
}"""
SENT = """painting => {
    clearTimeout(window.unsent)
    delete document.body.dataset.sending
    return painting
}"""

# The answer to a press replaces what an editor shows: what is pressed or painted meanwhile would be lost.
LOCK = """() => {
    const parts = document.querySelectorAll('.%s')
    window.pressed = document.activeElement
    parts.forEach(part => { part.inert = true })
    setTimeout(() => parts.forEach(part => { part.inert = false }), 60000)
}"""
# The editor takes a moment to show what it was sent.
UNLOCK = """() => setTimeout(() => {
    document.querySelectorAll('.%s').forEach(part => { part.inert = false })
    if (document.activeElement == document.body) window.pressed.focus({preventScroll: true})
}, 300)"""

# The editors' own events would have them send all their pictures, the background too, at every change.
TELL_STROKE = "() => document.querySelector('#stroke').click()"
TELL_STROKES = f"""() => {{
    const tell = {TELL_STROKE}
    document.addEventListener('pointerdown', event => {{
        const part = name => `#layout ${{name}}`
        if (!event.target.closest(['canvas', '[aria-label=Undo]', '[aria-label=Redo]'].map(part))) return
        // The stroke's last point is drawn after its end.
        document.addEventListener('pointerup', () => setTimeout(tell, 100), {{once: true}})
    }})
}}"""

# Gradio's own button hands out the file that it had before it was pressed; here that is made first.
DOWNLOAD = "() => {{ setTimeout(() => document.querySelector('#{}').click(), 100) }}"

LINK = "query => `${location.origin}${location.pathname}?${query}`"

# It asks for so many seconds of the visitor's share at a time.
on_gpu = spaces.GPU(duration=GPU_SECONDS) if spaces else lambda function: function
logger = logging.getLogger(__name__)


# What goes wrong


def in_plain_words(handler):
    """Wrap an event handler so that whatever goes wrong reaches the visitor as a sentence."""

    @functools.wraps(handler)
    def wrapped(*args, **options):
        try:
            return handler(*args, **options)
        except gr.Error:  # ZeroGPU's own sentences, such as that of a quota
            raise
        except ValueError as error:
            raise refusal(str(error)) from error
        except Exception as error:
            raise failure(error) from error

    return wrapped


def refusal(sentence):
    """The error that Gradio shows to a visitor whose request cannot be fulfilled, and does not log."""
    return gr.Error(sentence, title="That did not work", print_exception=False)


def failure(error):
    """The same for what nobody foresaw; where it came from is logged under the id that the visitor reads.

    Nothing that a visitor sent is logged: no picture, no name of a file.
    """
    request = secrets.token_hex(4)
    # PyTorch's errors speak of memory and shapes; the text of others may quote a visitor's file.
    text = f": {error}" if isinstance(error, RuntimeError | MemoryError) else ""
    places = "".join(traceback.format_tb(error.__traceback__))
    logger.error("request %s failed: %s%s\n%s", request, type(error).__name__, text, places)
    sentence = f"Something broke on our side. Please try again, or try another photo. (Request {request}.)"
    return gr.Error(sentence, title="Sorry", print_exception=False)


class Blocks(gr.Blocks):
    """Gradio's blocks that read uploaded files only, and answer with a sentence where Gradio itself fails."""

    async def preprocess_data(self, block_fn, inputs, *args, **options):
        """Gradio's own, between a request and its handler."""
        try:
            # Gradio itself checks only the paths that are marked as a file's.
            check_all_files_in_cache(inputs)
            values = await super().preprocess_data(block_fn, inputs, *args, **options)
        except Exception as error:
            sentence = "What was sent cannot be read. Please press again, or reload the page."
            raise refusal(sentence) from error
        # No event that needs a visit can happen before there is one.
        if any(isinstance(each, gr.State) and values[i] is None for i, each in enumerate(block_fn.inputs)):
            raise refusal("This page was idle for too long, or the server restarted. Please reload it.")
        return values

    async def postprocess_data(self, block_fn, predictions, state):
        """Gradio's own, between a handler and its answer.

        An answer about a photo that the visitor has left meanwhile is dropped. And the photos of the oldest
        visits are forgotten where all visits together take too much memory.
        """
        named = predictions.items() if isinstance(predictions, dict) else ()
        component, visit = next((item for item in named if isinstance(item[1], Visit)), (None, None))
        if visit and component in block_fn.inputs:
            now = state and state.get(component._id)
            if not now or now.photo is not visit.photo:
                predictions = {component: now}
        answer = await super().postprocess_data(block_fn, predictions, state)
        if not visit:
            return answer
        room = MAX_VISITS_BYTES
        for session in reversed(list(self.state_holder.session_data.values())):
            for key, value in list(session.state_data.items()):
                if isinstance(value, Visit):
                    room -= value.size
                    session.state_data[key] = value if room >= 0 else None
        return answer

    async def process_api(self, *args, **options):
        """Gradio's own, from a request to its answer."""
        try:
            return await super().process_api(*args, **options)
        except gr.Error:
            raise
        except Exception as error:
            raise failure(error) from error


# Running the model


@functools.lru_cache(maxsize=1)
def load_inpainter():
    """Load all networks, once: at the start of the server, or at the first use."""
    inpainter = FaceInpainter.from_pretrained()
    _ = inpainter.detector  # loaded now, not while the first visitor waits
    return inpainter


@on_gpu
@in_plain_words  # of ZeroGPU's own process no other error comes back with its sentence
def use_model(work, *arguments, **options):
    """What `work`, one of the two functions below, makes of its arguments."""
    return work(load_inpainter(), *arguments, **options)


def make_results(inpainter, photo, mask, align=True, **options):
    """Restore `photo` where `mask` is set; returns a list of results, also for one."""
    if "frames" not in options and mask.any():
        # A visitor paints over a face that, as a rule, is still there.
        options["frames"] = inpainter.locate(photo, mask, align, beneath=True)
    results = inpainter(photo, mask, align=align, **options)
    return results if isinstance(results, list) else [results]


def make_layout(inpainter, photo, mask, align=True, frames=None):
    """Predict the layout of the face in `photo`, also under `mask`; returns class ids and the frame."""
    frames = frames or inpainter.locate(photo, mask, align, beneath=True)
    return inpainter.predict_layout(photo, mask, frames=frames), frames[0]


def restore(photo, mask, *, seed, count=1, variation=1, **options):
    """Run the model with the page's options; an emptied seed counts as 0."""
    load_inpainter()  # outside of the GPU's time, and kept for the next visitor
    numbers = {"seed": int(seed or 0), "num_variations": int(count), "variation": int(variation or 1)}
    return use_model(make_results, photo, mask, **numbers, **options)


def predict_layout(photo, mask, **options):
    """The layout of the face in `photo`, also under `mask`, and its frame."""
    load_inpainter()
    return use_model(make_layout, photo, mask, **options)


# Between the editors and the package


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
        layers=False,
        sources=(),
        transforms=(),
        # Gradio misplaces the strokes of a picture that is smaller than this.
        canvas_size=(16, 16),
        **options,
    )


def mask_brush():
    """A brush of the translucent tint that stands for the hole."""
    return gr.Brush(colors=[(f"rgb{HOLE_TINT}", TINT_OPACITY)], color_mode="fixed", default_size=28)


def class_brush(index):
    """A brush of one class's colour: strokes in any other colour cannot happen."""
    colour = CLASS_COLOURS[index]
    return gr.Brush(colors=[colour], default_color=colour, color_mode="fixed", default_size=24)


def grown_part(layout, part):
    """The hole over a facial part and a little around it, 256 x 256 bool."""
    return part_mask(torch.from_numpy(layout.copy())[None], part, grow=PART_GROWTH)[0].numpy()


def temporary_file(name):
    """A path in a folder of its own that Gradio serves to this visitor and deletes later."""
    folder = Path(get_upload_folder()) / secrets.token_hex(16)  # not to be guessed by other visitors
    folder.mkdir(parents=True)
    return folder / name


def restored_file(photo):
    """The restored photo as a PNG file for this visitor; its metadata tells what it is."""
    path = temporary_file("restored-face.png")
    photo.save(path)
    return str(path)


def preview_file(picture):
    """A PNG file of a picture that the page shows: by itself Gradio takes four times as long to make one."""
    path = temporary_file("preview.png")
    picture.save(path, compress_level=1)
    return str(path)


# Named endpoints for programs


def read_request(photo, mask):
    """The photo and the mask that a program sent."""
    if not photo or not mask:
        raise ValueError("Send a photo and a mask of it, white where it is to be filled.")
    return Photo.open(photo), read_mask(mask)


@in_plain_words
def api_restore(photo, mask, align, seed, variation):
    """Fill the white part of the mask; returns the restored photo and the layout in the classes' colours."""
    options = {"align": align, "seed": seed, "variation": variation}
    result = restore(*read_request(photo, mask), **options)[0]
    return restored_file(result.photo), layout_to_picture(result.layout)


@in_plain_words
def api_predict_layout(photo, mask, align):
    """Predict the layout, also under the mask; returns a picture of 256 x 256 in the classes' colours."""
    layout, _ = predict_layout(*read_request(photo, mask), align=align)
    return layout_to_picture(layout)


@in_plain_words
def api_render_layout(photo, mask, layout, align, seed, variation):
    """Fill the white part of the mask after a layout, a picture in the classes' colours."""
    if not layout:
        raise ValueError("Send a layout of the aligned face, 256 x 256 pixels in the classes' colours.")
    options = {"layout": read_layout_file(layout), "align": align, "seed": seed, "variation": variation}
    result = restore(*read_request(photo, mask), **options)[0]
    return restored_file(result.photo)


class Page:
    """The page's components, and what happens at its buttons: handlers return updates by component."""

    def __init__(self):
        self.examples = read_examples()
        with Blocks(
            title="faceinpaint",
            analytics_enabled=False,
            delete_cache=(CHECK_SECONDS, CACHE_SECONDS - 2 * CHECK_SECONDS),
        ) as self.blocks:
            self.visit = gr.State(time_to_live=2 * CACHE_SECONDS)
            self.linked = gr.State()
            gr.Markdown(
                "# Face inpainting you can steer\n"
                "Paint over part of a face. The model plans what goes where, then paints it. "
                "Repaint the plan, and the face follows."
            )
            self._build_photo_section()
            with gr.Column(visible=False) as self.results:
                self._build_result_section()
                self._build_compare_section()
            gr.Markdown(
                "Your pictures are deleted within an hour after you leave. "
                "The weights are for non-commercial research use only."
            )
            self._build_endpoints()
            self._tie_events()
        self.blocks.queue(max_size=32)

    # Components

    def _build_photo_section(self):
        gr.Markdown("## 1 · Choose a photo and paint over what should go")
        with gr.Row() as self.choosing:
            with gr.Column(scale=3, min_width=320):
                self.upload = gr.Image(
                    sources=["upload", "webcam", "clipboard"],
                    label="Photo",
                    height=520,
                    placeholder="# Drop a photo here\nor click to choose one",
                    elem_id="upload",
                )
            with gr.Column(scale=2, min_width=320, visible=bool(self.examples)):
                gr.Markdown("Or start with an example:")
                self.gallery = gr.Gallery(
                    [(tint_hole(e.photo, e.mask), e.title) for e in self.examples.values()],
                    label="Examples",
                    show_label=False,  # it would lie over the first picture
                    columns=3,
                    height="auto",
                    object_fit="cover",
                    allow_preview=False,
                    buttons=[],
                    elem_id="examples",
                )
        with gr.Row(visible=False) as self.painting:
            with gr.Column(scale=3, min_width=320):
                self.editor = build_editor(
                    "Photo", mask_brush(), height=520, elem_id="photo", elem_classes=PHOTO_WORK
                )
                self.painted = build_editor(None, None, visible=False)
            with gr.Column(scale=2, min_width=320):
                gr.Markdown("Paint with the brush, or hide a whole part. Press a part again to show it.")
                with gr.Row(elem_classes=PHOTO_WORK):
                    self.parts = [gr.Button(name, size="sm", min_width=90) for name in PARTS]
                with gr.Row(elem_classes=PHOTO_WORK):
                    self.invert = gr.Button("Invert", size="sm", min_width=90)
                    self.surprise = gr.Button("Random", size="sm", min_width=90)
                    self.clear = gr.Button("Clear", size="sm", min_width=90)
                self.hidden = gr.Markdown(elem_id="hidden")
                self.restore = gr.Button("Restore", variant="primary", size="lg", elem_classes=PHOTO_WORK)
                with gr.Accordion("Options", open=False):
                    self.aligned = gr.Checkbox(
                        label="The picture is already cropped to the face",
                        info="Tick this if one upright face fills a square picture.",
                    )
                    self.count = gr.Slider(1, MAX_VARIATIONS, value=1, step=1, label="Variations")
                    self.seed = gr.Number(
                        0,
                        precision=0,
                        minimum=0,
                        label="Seed",
                        info="Another seed gives other variations; the first is always the likeliest face.",
                    )
                    with gr.Row():
                        self.mask_upload = gr.UploadButton(
                            "Use a mask file", file_types=["image"], size="sm", min_width=140
                        )
                        self.save = gr.Button("Save this mask", size="sm", min_width=140)
                    self.mask_file = gr.DownloadButton(elem_id="mask-file", elem_classes="unseen")
                with gr.Accordion("Point out the face yourself", open=False) as self.placing:
                    self.point_note = gr.Markdown(elem_id="point-note")
                    self.pointed = gr.Image(
                        show_label=False,  # it would lie over the photo
                        alt_text="The photo, to point out the face in",
                        format="png",
                        height=360,
                        interactive=False,
                        buttons=[],
                        elem_id="pointed",
                    )
                    self.unplace = gr.Button("Look for the face again", size="sm")
                self.another = gr.Button("Another photo")

    def _build_result_section(self):
        with gr.Row(elem_id="steering"):
            with gr.Column(min_width=320):
                gr.Markdown("## 2 · See the result")
                self.result = gr.Image(
                    label="Restored",
                    alt_text="The restored face",
                    format="png",
                    height=440,
                    interactive=False,
                    buttons=["fullscreen"],
                    elem_id="result",
                )
                self.view = gr.Radio([FACE, WHOLE], label="Show", show_label=False, elem_id="view")
                self.notes = gr.Markdown(elem_id="notes")
                gr.Markdown("Your attempts; pick the one you like:")
                self.attempts = gr.Gallery(
                    label="Attempts",
                    show_label=False,
                    columns=3,
                    fit_columns=False,
                    height="auto",
                    object_fit="contain",
                    allow_preview=False,
                    buttons=[],
                    elem_id="attempts",
                )
                self.others = gr.Button("Show me three other faces")
                self.download = gr.Button("Download the result", variant="primary")
                self.result_file = gr.DownloadButton(elem_id="result-file", elem_classes="unseen")
                gr.Markdown("The filled-in part is made up by a model: it is not what was really there.")
            with gr.Column(min_width=320):
                gr.Markdown("## 3 · Repaint the layout")
                with gr.Row(elem_classes=LAYOUT_WORK):
                    self.edits = [gr.Button(name, size="sm", min_width=120) for name in EDITS]
                self.layout = build_editor(
                    "Layout",
                    class_brush(FIRST_CLASS),
                    height=440,
                    elem_id="layout",
                    elem_classes=LAYOUT_WORK,
                )
                self.repainted = build_editor(None, None, visible=False)
                self.palette = gr.Radio(
                    [(name.capitalize(), index) for index, name in enumerate(CLASSES)],
                    value=FIRST_CLASS,
                    label="Paint with",
                    info="Each colour is a part of the face. Left and right are the person's own.",
                    elem_id="palette",
                )
                self.following = gr.Checkbox(
                    True,
                    label="The face follows every stroke",
                    info="Strokes update one attempt. Render keeps it and starts another.",
                    elem_id="following",
                )
                self.stroke = gr.Button(elem_id="stroke", elem_classes="unseen")
                with gr.Row(elem_classes=LAYOUT_WORK):
                    self.render = gr.Button("Render", variant="primary")
                    self.reset = gr.Button("Undo my changes")
                with gr.Accordion("Fill a whole region", open=False, elem_classes=LAYOUT_WORK):
                    self.region = gr.Dropdown(
                        [(name.capitalize(), index) for index, name in enumerate(CLASSES)],
                        value=CLASSES.index("background"),
                        label="Replace this everywhere by what the brush paints",
                    )
                    self.fill = gr.Button("Fill it")

    def _build_compare_section(self):
        gr.Markdown("## 4 · Compare and take home")
        with gr.Row():
            self.left = gr.Dropdown(label="Left side", filterable=False, elem_id="left-side")
            self.right = gr.Dropdown(label="Right side", filterable=False, elem_id="right-side")
        self.slider = gr.ImageSlider(
            label="Left | right",
            format="png",
            max_height=520,
            interactive=False,
            buttons=["fullscreen"],
            elem_id="compare",
        )
        with gr.Row():
            with gr.Column(min_width=320):
                self.make_sheet = gr.Button("All on one sheet")
                self.sheet = gr.Image(
                    label="Sheet",
                    show_label=False,  # it would lie over a title
                    alt_text="All pictures side by side",
                    format="png",
                    interactive=False,
                    visible=False,
                    # Not Gradio's "share", which sends the picture to another server.
                    buttons=["download", "fullscreen"],
                    elem_id="sheet",
                )
            with gr.Column(min_width=320):
                self.make_files = gr.Button("Layout and mask as files")
                self.files = gr.File(
                    label="Files", file_count="multiple", interactive=False, visible=False, elem_id="files"
                )
                self.query = gr.Textbox(visible=False)
                self.share = gr.Button("Link to this result", visible=False)
                self.link = gr.Textbox(
                    label="Link", buttons=["copy"], interactive=False, visible=False, elem_id="link"
                )

    def _build_endpoints(self):
        """Offer the three steps to programs, under names of their own and with plain pictures in and out."""
        with gr.Row(visible=False):
            photo = gr.File(label="photo")
            mask = gr.File(label="mask, white where to fill")
            layout = gr.File(label="layout in the classes' colours")
            align = gr.Checkbox(True, label="find and align the face first")
            seed = gr.Number(0, precision=0, label="seed")
            variation = gr.Number(1, precision=0, label="variation of the seed, 1 is the likeliest face")
            restored = gr.Image(format="png", label="restored photo")
            predicted = gr.Image(format="png", label="layout in the classes' colours")
            trigger = gr.Button().click
        for handler, inputs, outputs in (
            (api_restore, [photo, mask, align, seed, variation], [restored, predicted]),
            (api_predict_layout, [photo, mask, align], predicted),
            (api_render_layout, [photo, mask, layout, align, seed, variation], restored),
        ):
            name = handler.__name__.removeprefix("api_")
            trigger(handler, inputs, outputs, api_name=name, concurrency_limit=1, concurrency_id="model")

    # Events

    def _tie_events(self):
        photo_parts = [
            *(self.visit, self.upload, self.choosing, self.painting, self.editor, self.hidden, self.placing)
        ]
        attempt_parts = [
            *(self.visit, self.hidden, self.results, self.result, self.notes, self.attempts),
            *(self.editor, self.layout, self.seed, self.view, self.left, self.right, self.slider),
            *(self.sheet, self.files, self.query, self.share, self.link),
        ]
        everything = [*dict.fromkeys(photo_parts + attempt_parts), self.aligned]

        # Not decoded by Gradio: `Photo.open` turns a photo upright and has a sentence for a bad one.
        upload = on(
            self.upload.input, self.open_photo, self.upload, everything, self.upload, preprocess=False
        )
        upload.failure(lambda: None, None, self.upload, api_visibility="private")
        picked = on(self.gallery.select, self.pick_example, None, everything)
        opened = on(self.blocks.load, self.open_link, None, [*everything, self.linked])
        # Not at once: no other visitor's page is to wait for the model when it is opened.
        linked = on_model(
            self.linked.change,
            self.restore_linked,
            [self.visit, self.linked],
            attempt_parts,
            wait_on=self.result,
        )
        on(self.another.click, self.start_over, None, everything)

        drawn = [self.visit, self.painted]
        mask_parts = [self.visit, self.editor, self.hidden]
        for name, button in zip(PARTS, self.parts, strict=True):
            handler = functools.partial(self.toggle_part, name)
            painted = after_sending(button.click, self.editor, self.painted, lock=PHOTO_WORK)
            hidden = on_model(painted, handler, [*drawn, self.aligned], mask_parts, wait_on=self.hidden)
            unlock(hidden, PHOTO_WORK)
        for button, handler in ((self.invert, self.invert_mask), (self.surprise, self.randomize_mask)):
            painted = after_sending(button.click, self.editor, self.painted, lock=PHOTO_WORK)
            unlock(on(painted, handler, drawn, mask_parts), PHOTO_WORK)
        painted = after_sending(self.save.click, self.editor, self.painted)
        on_download(painted, self.save_mask, drawn, self.mask_file)
        on(self.clear.click, self.clear_mask, self.visit, mask_parts)
        on(self.mask_upload.upload, self.use_mask_file, [self.visit, self.mask_upload], mask_parts)

        point_parts = [self.visit, self.pointed, self.point_note]
        on(self.placing.expand, self.show_places, self.visit, point_parts)
        on(self.pointed.select, self.point_out, self.visit, point_parts)
        on(self.unplace.click, self.forget_places, self.visit, point_parts)

        inputs = [*drawn, self.aligned, self.seed, self.count]
        painted = after_sending(self.restore.click, self.editor, self.painted)
        restored = on_model(painted, self.press_restore, inputs, attempt_parts, wait_on=self.hidden)
        others = on_model(
            self.others.click, self.press_others, self.visit, attempt_parts, wait_on=self.attempts
        )
        edited = [self.visit, self.repainted, self.seed, self.count]
        answers = [restored, picked, opened, linked, others]
        presses = {self.render: self.press_render}
        for name, button in zip(EDITS, self.edits, strict=True):
            presses[button] = functools.partial(self.press_edit, name)
        for button, handler in presses.items():
            repainted = after_sending(button.click, self.layout, self.repainted, lock=LAYOUT_WORK)
            rendered = on_model(repainted, handler, edited, attempt_parts, wait_on=self.result)
            unlock(rendered, LAYOUT_WORK)
            answers.append(rendered)
        for event in answers:
            event.success(None, js=SCROLL_TO_RESULT)

        followed = [self.following, self.seed]
        self.blocks.load(None, js=TELL_STROKES, api_visibility="private")
        self.following.input(None, js=TELL_STROKE, api_visibility="private")
        repainted = after_sending(self.stroke.click, self.layout, self.repainted, trigger_mode="always_last")
        on_model(
            repainted,
            self.follow_strokes,
            [self.visit, self.repainted, *followed],
            attempt_parts,
            wait_on=self.result,
            trigger_mode="always_last",
        )

        on(self.palette.input, self.pick_class, self.palette, self.layout)
        repainted = after_sending(self.fill.click, self.layout, self.repainted, lock=LAYOUT_WORK)
        filled = on_model(
            repainted,
            self.press_fill,
            [self.visit, self.repainted, self.region, self.palette, *followed],
            attempt_parts,
            wait_on=self.result,
        )
        unlock(filled, LAYOUT_WORK)
        on_model(
            self.reset.click, self.reset_layout, [self.visit, *followed], attempt_parts, wait_on=self.result
        )
        on(self.attempts.select, self.return_to, self.visit, attempt_parts)
        viewed = [self.visit, self.view, self.left, self.right]
        on(self.view.input, self.switch_view, viewed, [self.visit, self.result, self.slider, self.attempts])
        on_download(self.download.click, self.save_result, self.visit, self.result_file, wait_on=self.result)
        for side in (self.left, self.right):
            on(
                side.input,
                self.compare,
                [self.visit, self.left, self.right],
                self.slider,
                wait_on=self.slider,
            )
        on(self.make_sheet.click, self.show_sheet, self.visit, self.sheet, wait_on=self.make_sheet)
        on(self.make_files.click, self.show_files, self.visit, self.files)
        self.share.click(None, self.query, self.link, js=LINK, api_visibility="private").then(
            lambda: gr.Textbox(visible=True), None, self.link, api_visibility="private"
        )

    # Choosing a photo

    def open_photo(self, file):
        """Open an uploaded file for painting."""
        if not file:  # the cross on a file that was refused
            return {self.visit: gr.skip()}
        photo = Photo.open(file["path"])
        return self._show_photo(Visit(photo, np.zeros(photo.rgb.shape[:2], bool)))

    def pick_example(self, event: gr.SelectData):
        """Open an example with its hole, and show at once what the model makes of it."""
        return self._show_example(list(self.examples)[event.index])

    def open_link(self, request: gr.Request):
        """Open the example that the page's address names, and tell which variation of it is asked for."""
        name = request.query_params.get("example")
        if name not in self.examples:
            return {self.visit: gr.skip()}
        shown = self._show_example(name)
        try:
            seed, variation = (int(request.query_params[each]) for each in ("seed", "variation"))
        except (KeyError, ValueError):  # the example itself
            return shown
        return shown | {self.linked: {"seed": seed, "variation": variation}}

    def restore_linked(self, visit, linked):
        """Restore the example that was opened as the page's address asks for."""
        if visit.example not in self.examples:  # left meanwhile
            return {self.visit: gr.skip()}
        press = Press(visit.mask, linked["seed"], linked["variation"])
        frames = [self.examples[visit.example].frame]
        return self._carry_out(visit, press, frames=frames) | {self.seed: press.seed}

    def start_over(self):
        """Go back to choosing a photo; what belongs to the last one is forgotten."""
        return {
            self.visit: None,
            self.upload: None,
            self.choosing: gr.Row(visible=True),
            self.painting: gr.Row(visible=False),
            self.results: gr.Column(visible=False),
        }

    def _show_example(self, name):
        example = self.examples[name]
        photo = Photo.of(example.photo)
        visit = Visit(photo, example.mask, example=name)
        notes = hidden_share(example.mask, example.layout, example.frame)
        attempt = Attempt.of(
            photo.filled(np.asarray(example.restored), example.mask),
            example.mask,
            [example.frame],
            title="1 · example",
            layout=example.layout,
            seed=example.seed,
            variation=1,
            notes=notes,
            link=f"example={name}",
        )
        updates = self._show_attempt(visit.with_attempts([attempt]))
        return self._show_photo(updates[self.visit]) | updates | {self.results: gr.Column(visible=True)}

    def _show_photo(self, visit):
        return {
            self.visit: visit,
            self.upload: None,
            self.choosing: gr.Row(visible=False),
            self.painting: gr.Row(visible=True),
            self.editor: photo_canvas(visit),
            self.results: gr.Column(visible=False),
            self.hidden: "Paint over something, then press Restore.",
            self.aligned: False,
            self.placing: gr.Accordion(open=False),
        }

    # The mask

    def toggle_part(self, part, visit, painting, aligned):
        """Hide a part of the face, found on the unmasked photo; show it again if it is hidden already."""
        visit = self._find_face(read_painting(visit, painting).with_face(align=not aligned))
        layout, frame = visit.face
        height, width = visit.mask.shape
        area = frame.area_in_photo(PARTS[part](layout), width, height)
        if not area.any():
            raise ValueError(f"No {part.lower()} can be seen in this photo.")
        hide = not visit.mask[area].all()
        return self._show_mask(replace(visit, mask=visit.mask | area if hide else visit.mask & ~area))

    def invert_mask(self, visit, painting):
        """Hide what is visible, show what is hidden."""
        visit = read_painting(visit, painting)
        return self._show_mask(replace(visit, mask=~visit.mask))

    def randomize_mask(self, visit, painting):
        """Hide a random part of the picture."""
        visit = read_painting(visit, painting)
        mask = random_mask(np.random.default_rng(), 256, low=0.1, high=0.5)
        return self._show_mask(replace(visit, mask=resize_mask(mask, *visit.mask.shape[::-1])))

    def clear_mask(self, visit):
        """Show everything again."""
        return self._show_mask(replace(visit, mask=np.zeros_like(visit.mask)))

    def use_mask_file(self, visit, path):
        """Take the mask from a file, white or painted where to fill; it is stretched to the photo's size."""
        mask = read_mask(path)
        if mask.shape != visit.mask.shape:
            gr.Info("The mask is of another size than the photo, so it was stretched.")
        return self._show_mask(replace(visit, mask=resize_mask(mask, *visit.mask.shape[::-1])))

    def save_mask(self, visit, painting):
        """Hand out the mask as a black and white PNG of the photo's size."""
        path = temporary_file("mask.png")
        Image.fromarray(read_painting(visit, painting).mask).save(path)
        return str(path)

    def _find_face(self, visit):
        if visit.face is None:
            face = predict_layout(visit.photo, np.zeros_like(visit.mask), **visit.face_options)
            visit = replace(visit, face=face)
        return visit

    def _show_mask(self, visit):
        if visit.face:
            note = hidden_share(visit.mask, *visit.face)
        else:
            note = f"{visit.mask.mean():.0%} of the photo is hidden."
        return {self.visit: visit, self.editor: photo_canvas(visit), self.hidden: note}

    # The place of the face

    def show_places(self, visit):
        """Show the photo to point out the face in, and what was pointed out."""
        shown = fit(visit.image, CANVAS_SIDE)
        scale = shown.width / visit.image.width
        places = [tuple((np.array(place) + 0.5) * scale - 0.5) for place in visit.places]
        shown = mark_places(shown, places)
        if len(places) == len(PLACES):
            shown = outline_faces(shown, [FaceFrame.from_eyes_and_mouth(*places)])
            note = "This is where the face goes. Restore, or click to point out another face."
        else:
            note = f"Click on {PLACES[len(places)]}."
        return {self.visit: visit, self.pointed: shown, self.point_note: note}

    def point_out(self, visit, event: gr.SelectData):
        """Take a click on the photo as the next place of the face."""
        places = visit.places if len(visit.places) < len(PLACES) else ()
        scale = visit.image.width / fit(visit.image, CANVAS_SIDE).width
        place = tuple(((np.array(event.index) + 0.5) * scale - 0.5).tolist())
        return self.show_places(visit.with_face(places=(*places, place)))

    def forget_places(self, visit):
        """Let the face be looked for again."""
        return self.show_places(visit.with_face(places=()))

    # Restoring and repainting

    def press_restore(self, visit, painting, aligned, seed, count):
        """Restore the painted part of the photo and show it with its layout."""
        visit = read_painting(visit, painting).with_face(align=not aligned)
        if not visit.mask.any():
            raise ValueError("Nothing is painted over yet. Paint over what should go, or hide a part of it.")
        return self._carry_out(visit, Press(visit.mask, int(seed or 0)), count, **visit.face_options)

    def press_others(self, visit):
        """Restore the same hole in three other ways."""
        attempt = visit.attempt
        # The first is the likeliest face, whatever the seed: there already is one like it.
        press = Press(visit.mask_of(attempt), attempt.seed + 1, variation=2)
        updates = self._carry_out(visit, press, MAX_VARIATIONS - 1, frames=attempt.frames)
        return updates | {self.seed: press.seed}

    def press_render(self, visit, painting, seed, count):
        """Paint the face again from the layout as the visitor repainted it."""
        # The editor shows this layout already, and keeps its undo.
        updates = self._render(visit, read_layout(painting), seed, count, "repainted")
        return updates | {self.layout: gr.skip()}

    def follow_strokes(self, visit, painting, following, seed):
        """Paint the face to the layout as it is after a stroke."""
        try:
            layout = read_layout(painting)
        except ValueError:  # nobody has asked for anything
            return {self.visit: gr.skip()}
        # The editor shows this layout already, and keeps its undo.
        return self._follow(visit, layout, following, seed) | {self.layout: gr.skip()}

    def press_edit(self, name, visit, painting, seed, count):
        """Change the layout by a ready-made edit and paint the face again."""
        layout = EDITS[name](read_layout(painting))
        if (layout == visit.attempt.layout).all():
            raise ValueError(f"“{name}” would change nothing here.")
        return self._render(visit, layout, seed, count, name.lower())

    def _render(self, visit, layout, seed, count, edit, by_strokes=False):
        """Paint the face again to `layout`; by strokes in the place of the attempt that is `growing`."""
        attempt = visit.attempt
        origin, shown = attempt.unedited, visit.mask_of(attempt)
        # What is no longer edited is the photo's again.
        hole = visit.mask_of(origin)
        mask = widen_hole(hole, origin.layout, layout, attempt.frames[0])
        if by_strokes and visit.growing:
            visit = visit.without_latest()
        # What was hidden or shown since is kept for the next press of "Restore".
        visit = replace(visit, mask=visit.mask & ~(shown & ~hole) | mask & ~hole)
        # By itself it keeps the light and the grain of what the visitor sees.
        variation = attempt.variation if count == 1 else 1
        press = Press(mask, int(seed or 0), variation, edit, origin, by_strokes)
        notes = [] if mask is hole else ["The hole was widened where you repainted around it."]
        updates = self._carry_out(visit, press, count, notes, layout=layout, frames=attempt.frames)
        return updates | ({} if np.array_equal(mask, shown) else {self.editor: photo_canvas(visit)})

    def _carry_out(self, visit, press, count=1, notes=(), **options):
        """Do what a press asks for, in so many variations, and show it; `options` are those of `restore`."""
        numbers = {"seed": press.seed, "variation": press.variation, "count": count}
        results, seconds = timed(restore, visit.photo, press.mask, **numbers, **options)
        result, example = results[0], self.examples.get(visit.example)
        link = ""
        if example and not press.origin and np.array_equal(press.mask, example.mask):
            # Another device may find the face a little elsewhere.
            same_face = len(result.frames) == 1 and example.frame.apart(result.frames[0]) < SAME_FACE
            link = f"example={visit.example}&seed={press.seed}&variation=" if same_face else ""
        hidden = hidden_share(press.mask, result.layout, result.frames[0])
        notes = [*result.notes, *notes, hidden, f"Took {seconds:.1f}\N{NO-BREAK SPACE}s."]
        updates = self._show_attempt(visit.with_results(results, press, notes, link))
        # Only the first time: Gradio's editors send their pictures when what they are in is made visible.
        return updates if visit.attempts else updates | {self.results: gr.Column(visible=True)}

    def return_to(self, visit, event: gr.SelectData):
        """Go back to an attempt: its picture, layout, seed and, unless that was changed since, its mask."""
        unchanged = np.array_equal(visit.mask, visit.mask_of(visit.attempt))
        visit = replace(visit, chosen=event.index)
        if not unchanged:
            return self._show_attempt(visit) | {self.seed: visit.attempt.seed}
        visit = replace(visit, mask=visit.mask_of(visit.attempt))
        return self._show_attempt(visit) | {self.editor: photo_canvas(visit), self.seed: visit.attempt.seed}

    def _show_attempt(self, visit):
        attempt = visit.attempt
        return {
            **self._show_views(visit, PHOTO, attempt.title),
            self.view: FACE if visit.close_up else WHOLE,
            self.notes: attempt.notes,
            self.hidden: hidden_share(visit.mask, attempt.layout, attempt.frames[0]),
            self.attempts: self._thumbnails(visit),
            self.layout: layout_canvas(attempt.layout),
            self.left: gr.Dropdown(visit.pictures, value=PHOTO),
            self.right: gr.Dropdown(visit.pictures, value=attempt.title),
            self.sheet: gr.Image(visible=False),
            self.files: gr.File(visible=False),
            self.query: attempt.link,
            self.share: gr.Button(visible=bool(attempt.link)),
            self.link: gr.Textbox(visible=False),
        }

    def _thumbnails(self, visit):
        pictures = [(each.thumbnails[visit.close_up], each.title) for each in visit.attempts]
        return gr.Gallery(pictures, selected_index=visit.chosen)

    def _show_views(self, visit, left, right):
        title = visit.attempt.title
        # Mostly the result is one of the two that are compared: its file is made once.
        files = {name: preview_file(visit.picture(name)) for name in {title, left, right}}
        return {self.visit: visit, self.result: files[title], self.slider: (files[left], files[right])}

    def switch_view(self, visit, view, left, right):
        """Show the face, or the whole photo."""
        visit = replace(visit, close_up=view == FACE)
        return self._show_views(visit, left, right) | {self.attempts: self._thumbnails(visit)}

    def pick_class(self, index):
        """Give the layout's brush the colour of a class."""
        return gr.ImageEditor(brush=class_brush(index))

    def press_fill(self, visit, painting, old, new, following, seed):
        """Fill a region of the layout with the class of the brush."""
        return self._follow(visit, fill_region(read_layout(painting), old, new), following, seed)

    def reset_layout(self, visit, following, seed):
        """Bring the predicted layout back."""
        return self._follow(visit, visit.attempt.unedited.layout, following, seed)

    def _follow(self, visit, layout, following, seed):
        """Show a repainted layout, and let the face follow if that is wished and there is a difference."""
        if not following or (layout == visit.attempt.layout).all():
            return {self.visit: visit, self.layout: layout_canvas(layout)}
        return self._render(visit, layout, seed, 1, "repainted", by_strokes=True)

    # Comparing and taking home

    def compare(self, visit, left, right):
        """Put two pictures into the slider."""
        return tuple(preview_file(visit.picture(name)) for name in (left, right))

    def save_result(self, visit):
        """Hand out the restored photo, as large as the photo is."""
        return restored_file(visit.restored(visit.attempt))

    def show_sheet(self, visit):
        """Put all pictures on one sheet."""
        path = temporary_file("sheet.png")
        sheet = comparison_sheet({name: visit.picture(name) for name in visit.pictures})
        replace(Photo.of(sheet), edited=True).save(path)
        return gr.Image(str(path), visible=True)

    def show_files(self, visit):
        """Hand out the layout as class ids and in colours, and the mask."""
        layout, attempt = visit.attempt.layout, visit.attempt
        pictures = {
            "layout-class-ids.png": Image.fromarray(layout),
            "layout-colours.png": layout_to_picture(layout),
            "mask.png": Image.fromarray(visit.mask_of(attempt)),
        }
        paths = []
        for name, picture in pictures.items():
            paths.append(str(temporary_file(name)))
            picture.save(paths[-1])
        return gr.File(paths, visible=True)

    def launch(self, **options):
        """Serve the page; options are Gradio's."""
        # For what Gradio decodes itself; Pillow refuses pictures of twice this.
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
        EpsImagePlugin.gs_binary = False  # a file that calls itself a picture must not start Ghostscript
        # Gradio forgets some of the files that it makes, so those are deleted here, a little later.
        delete_old_files(get_upload_folder(), CACHE_SECONDS - CHECK_SECONDS, CHECK_SECONDS)
        self.blocks.launch(
            theme=THEME,
            css=CSS,
            footer_links=["api", "gradio", "settings"],
            run_history=False,
            max_file_size=MAX_FILE_BYTES,
            state_session_capacity=MAX_SESSIONS,
            **options,
        )


def timed(function, *args, **options):
    """What the function returns, and how many seconds it took."""
    started = time.perf_counter()
    return function(*args, **options), time.perf_counter() - started


def after_sending(event, editor, sent, lock=None, trigger_mode=None):
    """The event that what is painted on an editor, at another event, has arrived in the hidden editor `sent`.

    As an input of a handler Gradio's editor would send its pictures some ten times a press: at every change
    of what is known of any event's progress. `lock` is the class of what takes no press until `unlock`.
    """
    options = {"trigger_mode": trigger_mode, "api_visibility": "private"}
    event(None, js=SENDING, **options)
    if lock:
        event(None, js=LOCK % lock, api_visibility="private")
    return event(None, editor, sent, js=SENT, **options).success


def unlock(answer, lock):
    """Let what `after_sending` has locked take presses again, whether the answer is one or a refusal."""
    answer.then(None, js=UNLOCK % lock, api_visibility="private")


def on(event, handler, inputs, outputs, wait_on=None, **options):
    """Tie an event to a handler; what goes wrong in it is told in plain words."""
    return event(
        in_plain_words(handler),
        inputs,
        outputs,
        show_progress="minimal" if wait_on else "hidden",  # without covering the picture
        show_progress_on=wait_on or [],  # by default all outputs, of which editors would send their pictures
        api_visibility="private",
        **options,
    )


def on_download(event, handler, inputs, button, wait_on=None):
    """The same for a handler that makes a file, which a hidden download button then hands out."""
    made = on(event, handler, inputs, button, wait_on)
    made.success(None, js=DOWNLOAD.format(button.elem_id), api_visibility="private")


def on_model(event, handler, inputs, outputs, wait_on, **options):
    """The same for a handler that runs the model: all of these wait in one queue, one at a time."""
    queue = {"concurrency_limit": 1, "concurrency_id": "model"}
    return on(event, handler, inputs, outputs, wait_on, **queue, **options)


if __name__ == "__main__":
    with contextlib.suppress(OSError):  # not glibc
        # M_ARENA_MAX: by default freed memory stays in an arena for each of many worker threads.
        ctypes.CDLL("libc.so.6").mallopt(-8, 2)
    load_inpainter()  # before the first visitor comes; ZeroGPU wants its networks placed before the start
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # an end that tidies up
    with own_folder(get_upload_folder()) as folder:
        os.environ["GRADIO_TEMP_DIR"] = str(folder)
        page = Page()
        try:
            page.launch()
        finally:
            page.blocks.close()  # so that nothing is written any more where the folder was
