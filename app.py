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
import operator
import os
import secrets
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
from gradio.utils import get_upload_folder
from PIL import EpsImagePlugin, Image

from faceinpaint import FaceInpainter
from faceinpaint.alignment import FACE_SIZE, FaceFrame
from faceinpaint.baselines import BASELINES
from faceinpaint.examples import read_examples
from faceinpaint.layout_editing import EDITS, cut_hair, edit_layout, fill_region, widen_hole
from faceinpaint.masks import grown_part, lower_half, random_mask, resize_mask
from faceinpaint.page.blocks import Blocks
from faceinpaint.page.editors import (
    CANVAS_SIDE,
    build_editor,
    class_brush,
    layout_canvas,
    mask_brush,
    photo_canvas,
    read_layout,
    read_painting,
)
from faceinpaint.page.errors import in_plain_words
from faceinpaint.page.events import (
    after_sending,
    keep_unread,
    lock_at,
    on,
    on_download,
    on_model,
    unlock,
)
from faceinpaint.page.looks import LOOKS
from faceinpaint.page.temporary_files import delete_old_files, own_folder
from faceinpaint.page.visits import (
    HOLE,
    OVERLAY,
    PHOTO,
    PLACES,
    Attempt,
    Press,
    Visit,
    fit,
    hidden_share,
)
from faceinpaint.photos import MAX_PIXELS, Photo, read_layout_file, read_mask
from faceinpaint.pipeline import MAX_VARIATIONS
from faceinpaint.semantics import CLASSES, layout_to_picture
from faceinpaint.visualization import comparison_sheet, mark_places, outline_faces, tint_hole

CACHE_SECONDS = 3600  # within which every file of a visitor is deleted
CHECK_SECONDS = 300  # how often files are looked through for that
GPU_SECONDS = 20  # four variations of 24 megapixels, with time to spare
MAX_FILE_BYTES = 300_000_000  # the largest photo, 50 megapixels, with 16 bits a colour
MAX_SESSIONS = 2000  # an unused one, such as a request through the API, has 0.2 MB; the oldest are forgotten
SAME_FACE = 0.05  # frames less far apart, in eye distances, are of the same face

PHOTO_WORK, LAYOUT_WORK = "photo-work", "layout-work"  # classes of what waits for the answer to a press
FIRST_CLASS = CLASSES.index("hair")
PART_HOLES = {
    name: functools.partial(grown_part, part=name.lower())
    for name in ("Eyes", "Glasses", "Nose", "Mouth", "Hair", "Skin")
} | {"Lower half": lower_half}

FACE, WHOLE = "The face", "The whole photo"

# It asks for so many seconds of the visitor's share at a time.
on_gpu = spaces.GPU(duration=GPU_SECONDS) if spaces else lambda function: function


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
    """What `work`, such as the two functions below, makes of the model and its arguments."""
    return work(load_inpainter(), *arguments, **options)


def make_results(inpainter, photo, mask, **options):
    """Restore `photo` where `mask` is set; returns a list of results, also for one."""
    # A visitor paints over a face that, as a rule, is still there.
    results = inpainter(photo, mask, beneath=True, **options)
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


def widen(photo, hole, before, after, frame):
    """The hole that an edited layout asks for; of hair that goes, also what hangs outside the face."""
    wider, cut = widen_hole(hole, before, after, frame), cut_hair(before, after)
    if not cut.any():
        return wider
    return wider | use_model(operator.methodcaller("hair_beyond", photo, hole, frame, cut))


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
        with gr.Column(visible=False) as self.working:
            with gr.Row():
                with gr.Column(scale=3, min_width=320):
                    self.editor = build_editor(
                        "Photo", mask_brush(), height=520, elem_id="photo", elem_classes=PHOTO_WORK
                    )
                    self.sent_photo = build_editor(None, None, visible=False)
                    # Whether there are strokes on the photo that no handler has seen yet; `page.js` tells.
                    self.unread = gr.Checkbox(elem_id="unread", elem_classes="unseen")
                with gr.Column(scale=2, min_width=320):
                    gr.Markdown("Paint with the brush, or hide a whole part. Press a part again to show it.")
                    with gr.Row(elem_classes=PHOTO_WORK):
                        self.parts = [gr.Button(name, size="sm", min_width=90) for name in PART_HOLES]
                    with gr.Row(elem_classes=PHOTO_WORK):
                        self.invert = gr.Button("Invert", size="sm", min_width=90)
                        self.surprise = gr.Button("Random", size="sm", min_width=90)
                        self.clear = gr.Button("Clear", size="sm", min_width=90)
                    self.hidden = gr.Markdown(elem_id="hidden")
                    self.restore = gr.Button(
                        "Restore", variant="primary", size="lg", elem_classes=[PHOTO_WORK, LAYOUT_WORK]
                    )
                    with gr.Accordion("Options", open=False):
                        self.aligned = gr.Checkbox(
                            label="The picture is already cropped to the face",
                            info="Tick this if one upright face fills a square picture.",
                        )
                        self.count = gr.Slider(1, MAX_VARIATIONS, value=1, step=1, label="Variations")
                        self.seed = gr.Number(
                            0,
                            precision=0,
                            label="Seed",
                            info="Another seed gives other variations; the first is the likeliest face.",
                        )
                        with gr.Row():
                            self.mask_upload = gr.UploadButton(
                                "Use a mask file", file_types=["image"], size="sm", min_width=140
                            )
                            self.save = gr.Button("Save this mask", size="sm", min_width=140)
                        self.mask_file = gr.DownloadButton(elem_id="mask-file", elem_classes="unseen")
                    self.another = gr.Button("Another photo")
            with gr.Accordion("Point out the face yourself", open=False) as self.placing:
                self.point_note = gr.Markdown(elem_id="point-note")
                self.pointed = gr.Image(
                    show_label=False,  # it would lie over the photo
                    alt_text="The photo, to point out the face in",
                    format="png",
                    height=520,
                    interactive=False,
                    buttons=[],
                    elem_id="pointed",
                )
                self.unplace = gr.Button("Look for the face again", size="sm")

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
                with gr.Row():
                    self.others = gr.Button(
                        "Show me three other faces", min_width=200, elem_classes=LAYOUT_WORK
                    )
                    self.download = gr.Button("Download the result", variant="primary", min_width=200)
                self.result_file = gr.DownloadButton(elem_id="result-file", elem_classes="unseen")
                gr.Markdown("The filled-in part is made up by a model: it is not what was really there.")
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
                self.sent_layout = build_editor(None, None, visible=False)
                # Names the picture in the editor, and that which was painted on and sent.
                self.canvas, self.sent_canvas = (gr.Textbox(visible=False) for _ in range(2))
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
            *(self.visit, self.upload, self.choosing, self.working, self.editor, self.unread),
            *(self.hidden, self.aligned, self.seed, self.placing),
        ]
        attempt_parts = [
            *(self.visit, self.hidden, self.results, self.result, self.notes, self.attempts),
            *(self.editor, self.layout, self.canvas, self.seed, self.view),
            *(self.left, self.right, self.slider),
            *(self.sheet, self.files, self.query, self.share, self.link),
        ]
        everything = [*dict.fromkeys(photo_parts + attempt_parts)]

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

        drawn = [self.visit, self.sent_photo]
        mask_parts = [self.visit, self.editor, self.unread, self.hidden]
        waiting = [linked]  # for the model
        presses = {self.surprise: self.randomize_mask}
        for name, button in zip(PART_HOLES, self.parts, strict=True):
            presses[button] = functools.partial(self.toggle_part, name)
        for button, handler in presses.items():
            sent = after_sending(button.click, self.editor, self.sent_photo, lock=PHOTO_WORK)
            hidden = on_model(sent, handler, [*drawn, self.aligned], mask_parts, wait_on=self.hidden)
            unlock(hidden, PHOTO_WORK)
            keep_unread(hidden.failure)
            waiting.append(hidden)
        sent = after_sending(self.invert.click, self.editor, self.sent_photo, lock=PHOTO_WORK)
        inverted = on(sent, self.invert_mask, drawn, mask_parts)
        unlock(inverted, PHOTO_WORK)
        keep_unread(inverted.failure)
        sent = after_sending(self.save.click, self.editor, self.sent_photo)
        saved = on_download(sent, self.save_mask, drawn, self.mask_file)
        keep_unread(saved.success, saved.failure)
        on(self.clear.click, self.clear_mask, self.visit, mask_parts)
        on(self.mask_upload.upload, self.use_mask_file, [self.visit, self.mask_upload], mask_parts)

        point_parts = [self.visit, self.pointed, self.point_note]
        on(self.placing.expand, self.show_places, self.visit, point_parts)
        on(self.pointed.select, self.point_out, self.visit, point_parts)
        on(self.unplace.click, self.forget_places, self.visit, point_parts)

        inputs = [*drawn, self.aligned, self.seed, self.count]
        sent = after_sending(self.restore.click, self.editor, self.sent_photo, lock=LAYOUT_WORK)
        restored = on_model(sent, self.press_restore, inputs, attempt_parts, wait_on=self.hidden)
        keep_unread(restored.failure)
        lock_at(self.others.click, LAYOUT_WORK)
        others = on_model(
            self.others.click, self.press_others, self.visit, attempt_parts, wait_on=self.attempts
        )
        edited = [self.visit, self.sent_layout, self.seed, self.count, self.unread]
        locking = [restored, others]
        presses = {self.render: self.press_render}
        for name, button in zip(EDITS, self.edits, strict=True):
            presses[button] = functools.partial(self.press_edit, name)
        for button, handler in presses.items():
            sent = after_sending(button.click, self.layout, self.sent_layout, lock=LAYOUT_WORK)
            locking.append(on_model(sent, handler, edited, attempt_parts, wait_on=self.result))
        for event in (picked, opened, linked, *locking):
            event.success(None, js="() => faceinpaint.scrollToResult()")

        followed = [self.following, self.seed, self.unread]
        self.following.input(None, js="() => faceinpaint.tellStroke()", api_visibility="private")
        sent = after_sending(
            self.stroke.click,
            self.layout,
            self.sent_layout,
            beside=(self.canvas, self.sent_canvas),
            trigger_mode="always_last",
        )
        strokes = on_model(
            sent,
            self.follow_strokes,
            [self.visit, self.sent_layout, self.sent_canvas, *followed],
            attempt_parts,
            wait_on=self.result,
            trigger_mode="always_last",
        )

        on(self.palette.input, self.pick_class, self.palette, self.layout)
        sent = after_sending(self.fill.click, self.layout, self.sent_layout, lock=LAYOUT_WORK)
        filled = on_model(
            sent,
            self.press_fill,
            [self.visit, self.sent_layout, self.region, self.palette, *followed],
            attempt_parts,
            wait_on=self.result,
        )
        lock_at(self.reset.click, LAYOUT_WORK)
        reset = on_model(
            self.reset.click,
            self.reset_layout,
            [self.visit, *followed],
            attempt_parts,
            wait_on=self.result,
        )
        locking += [filled, reset]
        for event in locking:
            unlock(event, LAYOUT_WORK)
        # What still waits would be done to the next photo.
        waiting += [*locking, strokes]
        on(self.another.click, self.start_over, None, everything, cancels=waiting)
        self.another.click(None, js="() => faceinpaint.unlockAll()", api_visibility="private")
        on(self.attempts.select, self.return_to, [self.visit, self.unread], attempt_parts)
        viewed = [self.visit, self.view, self.left, self.right]
        on(self.view.input, self.switch_view, viewed, [self.visit, self.result, self.slider, self.attempts])
        on_download(self.download.click, self.save_result, self.visit, self.result_file, wait_on=self.result)
        for side in (self.left, self.right):
            on(
                side.input,
                self.compare,
                [self.visit, self.left, self.right],
                [self.visit, self.slider],
                wait_on=self.slider,
            )
        on(
            self.make_sheet.click,
            self.show_sheet,
            self.visit,
            [self.visit, self.sheet],
            wait_on=self.make_sheet,
        )
        on(self.make_files.click, self.show_files, self.visit, [self.visit, self.files])
        link = "query => faceinpaint.link(query)"
        self.share.click(None, self.query, self.link, js=link, api_visibility="private").then(
            lambda: gr.Textbox(visible=True), None, self.link, api_visibility="private"
        )

    # Choosing a photo

    def open_photo(self, file):
        """Open an uploaded file for painting."""
        if not file:  # the cross on a file that was refused
            return {self.visit: gr.skip()}
        photo = Photo.of(Photo.open(file["path"]))
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
        return shown | {self.linked: {"example": name, "seed": seed, "variation": variation}}

    def restore_linked(self, visit, linked):
        """Restore the example that was opened as the page's address asks for."""
        if visit.example != linked["example"]:  # left meanwhile
            return {self.visit: gr.skip()}
        example = self.examples[visit.example]
        press = Press(example.mask, linked["seed"], linked["variation"])
        return self._carry_out(visit, press, frames=[example.frame]) | {self.seed: press.seed}

    def start_over(self):
        """Go back to choosing a photo; what belongs to the last one is forgotten."""
        return {
            self.visit: None,
            self.upload: None,
            self.choosing: gr.Row(visible=True),
            self.working: gr.Column(visible=False),
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
        shown = {self.results: gr.Column(visible=True), self.seed: example.seed}
        return self._show_photo(updates[self.visit]) | updates | shown

    def _show_photo(self, visit):
        return {
            self.visit: visit,
            self.upload: None,
            self.choosing: gr.Row(visible=False),
            self.working: gr.Column(visible=True),
            self.editor: photo_canvas(visit),
            self.unread: False,
            self.results: gr.Column(visible=False),
            self.hidden: "Paint over something, then press Restore.",
            self.aligned: False,
            self.seed: 0,
            self.placing: gr.Accordion(open=False),
        }

    # The mask

    def toggle_part(self, part, visit, painting, aligned):
        """Hide a part of the face, found on the unmasked photo; show it again if it is hidden already."""
        visit = self._find_face(read_painting(visit, painting).with_face(align=not aligned))
        layout, frame = visit.face
        height, width = visit.mask.shape
        area = frame.area_in_photo(PART_HOLES[part](layout), width, height)
        if not area.any():
            raise ValueError(f"No {part.lower()} can be seen in this photo.")
        hide = not visit.mask[area].all()
        return self._show_mask(replace(visit, mask=visit.mask | area if hide else visit.mask & ~area))

    def invert_mask(self, visit, painting):
        """Hide what is visible, show what is hidden."""
        visit = read_painting(visit, painting)
        return self._show_mask(replace(visit, mask=~visit.mask))

    def randomize_mask(self, visit, painting, aligned):
        """Hide a random part of the face; of the picture where no face is found."""
        visit = read_painting(visit, painting).with_face(align=not aligned)
        mask = random_mask(np.random.default_rng(), FACE_SIZE, low=0.1, high=0.5)
        height, width = visit.mask.shape
        try:
            visit = self._find_face(visit)
        except gr.Error:  # there is none
            return self._show_mask(replace(visit, mask=resize_mask(mask, width, height)))
        return self._show_mask(replace(visit, mask=visit.face[1].area_in_photo(mask, width, height)))

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
        return {self.visit: visit, self.editor: photo_canvas(visit), self.unread: False, self.hidden: note}

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
        alike = [each.seed for each in visit.attempts if np.array_equal(each.hole, attempt.hole)]
        press = Press(visit.mask_of(attempt), max(alike) + 1, variation=2)
        updates = self._carry_out(visit, press, MAX_VARIATIONS - 1, frames=attempt.frames)
        return updates | {self.seed: press.seed}

    def press_render(self, visit, painting, seed, count, unread=False):
        """Paint the face again from the layout as the visitor repainted it."""
        updates = self._render(visit, read_layout(painting), seed, count, "repainted", unread)
        return self._on_same_canvas(updates, visit)

    def follow_strokes(self, visit, painting, canvas, following, seed, unread=False):
        """Paint the face to the layout as it is after a stroke, if it still is the layout that is shown."""
        if canvas != visit.canvas:  # an edit, an undo or another attempt came first
            return {self.visit: gr.skip()}
        try:
            layout = read_layout(painting)
        except ValueError:  # nobody has asked for anything
            return {self.visit: gr.skip()}
        return self._on_same_canvas(self._follow(visit, layout, following, seed, unread), visit)

    def _on_same_canvas(self, updates, visit):
        """The updates, but for the layout's editor, which shows this layout already, and keeps its undo."""
        same = replace(updates[self.visit], canvas=visit.canvas)
        return updates | {self.visit: same, self.layout: gr.skip(), self.canvas: gr.skip()}

    def press_edit(self, name, visit, painting, seed, count, unread=False):
        """Change the layout by a ready-made edit and paint the face again."""
        layout = edit_layout(name, read_layout(painting), visit.attempt.unedited.layout)
        if (layout == visit.attempt.layout).all():
            raise ValueError(f"“{name}” would change nothing here.")
        return self._render(visit, layout, seed, count, name.lower(), unread)

    def _render(self, visit, layout, seed, count, edit, unread, by_strokes=False):
        """Paint the face again to `layout`; by strokes in the place of the attempt that is `growing`.

        Strokes on the photo that no handler has seen (`unread`) stay on its canvas.
        """
        attempt = visit.attempt
        origin, before = attempt.unedited, visit.mask
        if (layout == origin.layout).all():
            edit = "as planned"
        hole = visit.mask_of(origin)
        wider = widen(visit.photo, hole, origin.layout, layout, attempt.frames[0])
        # What is no longer widened is the photo's again; what was painted since is for the next "Restore".
        mask = before & ~(visit.mask_of(attempt) & ~hole) | wider & ~hole
        if by_strokes and visit.growing:
            visit = visit.without_latest()
        visit = replace(visit, mask=mask)
        # By itself it keeps the light and the grain of what the visitor sees.
        variation = attempt.variation if count == 1 else 1
        press = Press(wider, int(seed or 0), variation, edit, origin, by_strokes)
        widened = not np.array_equal(wider, hole)
        notes = ["The hole was widened where you repainted around it."] if widened else []
        updates = self._carry_out(visit, press, count, notes, layout=layout, frames=attempt.frames)
        return updates | (
            {} if unread or np.array_equal(mask, before) else {self.editor: photo_canvas(visit)}
        )

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

    def return_to(self, visit, event: gr.SelectData, unread=False):
        """Go back to an attempt: its picture, layout, seed and, unless that was changed since, its mask."""
        unchanged = not unread and np.array_equal(visit.mask, visit.mask_of(visit.attempt))
        visit = replace(visit, chosen=event.index)
        if not unchanged:
            return self._show_attempt(visit) | {self.seed: visit.attempt.seed}
        visit = replace(visit, mask=visit.mask_of(visit.attempt))
        return self._show_attempt(visit) | {self.editor: photo_canvas(visit), self.seed: visit.attempt.seed}

    def _show_attempt(self, visit):
        attempt = visit.attempt
        left = visit.left if visit.left in visit.pictures else PHOTO
        shown = self._show_layout(visit, attempt.layout)
        return {
            **shown,
            **self._show_views(shown[self.visit], left, attempt.title),
            self.view: FACE if visit.close_up else WHOLE,
            self.notes: attempt.notes,
            self.hidden: hidden_share(visit.mask, attempt.layout, attempt.frames[0]),
            self.attempts: self._thumbnails(visit),
            self.left: gr.Dropdown(visit.pictures, value=left),
            self.right: gr.Dropdown(visit.pictures, value=attempt.title),
            self.sheet: gr.Image(visible=False),
            self.files: gr.File(visible=False),
            self.query: attempt.link,
            self.share: gr.Button(visible=bool(attempt.link)),
            self.link: gr.Textbox(visible=False),
        }

    def _show_layout(self, visit, layout):
        """Give the layout's editor another picture, under a name of its own."""
        name = secrets.token_hex(8)
        return {
            self.visit: replace(visit, canvas=name),
            self.layout: layout_canvas(layout),
            self.canvas: name,
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

    def press_fill(self, visit, painting, old, new, following, seed, unread=False):
        """Fill a region of the layout with the class of the brush."""
        return self._follow(visit, fill_region(read_layout(painting), old, new), following, seed, unread)

    def reset_layout(self, visit, following, seed, unread=False):
        """Bring the predicted layout back."""
        return self._follow(visit, visit.attempt.unedited.layout, following, seed, unread)

    def _follow(self, visit, layout, following, seed, unread):
        """Show a repainted layout, and let the face follow if that is wished and there is a difference."""
        if not following or (layout == visit.attempt.layout).all():
            return self._show_layout(visit, layout)
        return self._render(visit, layout, seed, 1, "repainted", unread, by_strokes=True)

    # Comparing and taking home

    def compare(self, visit, left, right):
        """Put two pictures into the slider."""
        files = tuple(preview_file(visit.picture(name)) for name in (left, right))
        return {self.visit: replace(visit, left=left), self.slider: files}

    def save_result(self, visit):
        """Hand out the restored photo, as large as the photo is."""
        return restored_file(visit.restored(visit.attempt))

    def show_sheet(self, visit):
        """Put all pictures on one sheet."""
        path = temporary_file("sheet.png")
        number = visit.attempt.title.split()[0]
        # Of several attempts each may have a hole of its own; these show that of the one that is chosen.
        of_chosen = {name: f"{name} · {number}" for name in (HOLE, OVERLAY, *BASELINES)}
        sheet = comparison_sheet({of_chosen.get(name, name): visit.picture(name) for name in visit.pictures})
        replace(Photo.of(sheet), edited=True).save(path)
        return {self.visit: visit, self.sheet: gr.Image(str(path), visible=True)}

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
        return {self.visit: visit, self.files: gr.File(paths, visible=True)}

    def launch(self, **options):
        """Serve the page; options are Gradio's."""
        # For what Gradio decodes itself; Pillow refuses pictures of twice this.
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
        EpsImagePlugin.gs_binary = False  # a file that calls itself a picture must not start Ghostscript
        # Gradio forgets some of the files that it makes, so those are deleted here, a little later.
        delete_old_files(get_upload_folder(), CACHE_SECONDS - CHECK_SECONDS, CHECK_SECONDS)
        self.blocks.launch(
            **LOOKS,
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
