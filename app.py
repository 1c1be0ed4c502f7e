"""The page: paint over part of a face, see the layout and the restored face, repaint the layout, compare.

Components, events and words only; the work is done by `faceinpaint`. Importing this module starts nothing and
loads no weights. Run `python app.py` and open the address that it prints.
"""

try:
    import spaces  # must come before torch where it exists (ZeroGPU)
except ImportError:
    spaces = None

import functools
import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path

import gradio as gr
import numpy as np
from gradio.processing_utils import save_pil_to_cache
from gradio.themes.utils.fonts import LocalFont
from gradio.utils import get_upload_folder
from PIL import Image

from faceinpaint import FaceInpainter
from faceinpaint.baselines import BASELINES
from faceinpaint.photos import read_mask, read_photo
from faceinpaint.semantics import CLASSES, PALETTE, layout_to_picture, picture_to_layout

EXAMPLES = Path(__file__).parent / "examples"
CACHE_SECONDS = 3600  # files older than this are deleted, as often as this
MASK_COLOUR, MASK_OPACITY = "rgb(124, 58, 237)", 0.7
CLASS_COLOURS = [f"rgb({red}, {green}, {blue})" for red, green, blue in PALETTE]
FIRST_CLASS = CLASSES.index("hair")

YOUR_PHOTO = "Your photo"
LEFT_SIDES = [YOUR_PHOTO, *BASELINES]  # what the restored face can be compared with

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
CSS = "#palette label { border-left-width: 14px; padding: 4px 10px 4px 8px }" + "".join(
    f"#palette label:nth-of-type({number}) {{ border-left-color: {colour} }}"
    for number, colour in enumerate(CLASS_COLOURS, 1)
)

# On a phone the editors are as wide as the screen; higher than that they would only be empty.
CSS += "@media (max-width: 640px) { #photo, #layout { height: 420px !important } }"

# A small photo's result is shown as large as the editor shows the photo.
CSS += "#result img { width: 100%; height: 100%; object-fit: contain }"

# Gradio's own `scroll_to_output` stops at the component that shows the progress.
SCROLL_TO_RESULT = "() => document.querySelector('#result').scrollIntoView({block: 'nearest'})"

on_gpu = spaces.GPU if spaces else lambda function: function
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Visit:
    """What the page remembers for one visitor: the last photo, its mask and what was made of it."""

    photo: Image.Image
    mask: np.ndarray
    align: bool
    predicted: np.ndarray
    results: list
    chosen: int = 0

    @property
    def image(self):
        """The restored photo that the visitor looks at."""
        return self.results[self.chosen].image


# Loading and running


@functools.lru_cache(maxsize=1)
def load_inpainter():
    """Load the weights at the first use; all model events share one place in the queue, so this runs once."""
    return FaceInpainter.from_pretrained()


@on_gpu
def run_inpainter(photo, mask, **options):
    """Restore `photo` where `mask` is set; returns a list of results, also for one."""
    results = load_inpainter()(photo, mask, **options)
    return results if isinstance(results, list) else [results]


@on_gpu
def run_layout(photo, mask, align):
    """Predict the layout of the face in `photo`, also under `mask`; returns class ids."""
    return load_inpainter().predict_layout(photo, mask, align=align)


def in_plain_words(handler):
    """Wrap an event handler so that whatever goes wrong reaches the visitor as a sentence."""

    @functools.wraps(handler)
    def wrapped(*args):
        try:
            return handler(*args)
        except (ValueError, FileNotFoundError) as error:
            raise gr.Error(str(error), title="That did not work", print_exception=False) from error
        except Exception as error:
            logger.exception("%s failed", handler.__name__)
            sentence = "Something broke on our side. Please try again, or try another photo."
            raise gr.Error(sentence, title="Sorry", print_exception=False) from error

    return wrapped


# Between the editors and the package


def read_painting(value):
    """Split an editor's value into the untouched photo (RGB) and the painted mask (bool, H x W)."""
    photo = (value or {}).get("background")
    if photo is None or photo.convert("RGBA").getchannel("A").getextrema()[1] == 0:
        raise ValueError("There is no photo yet. Please add one and paint over a part of it.")
    mask = np.zeros((photo.height, photo.width), dtype=bool)
    for layer in value["layers"]:
        alpha = layer.getchannel("A")
        if alpha.size != photo.size:  # the editor's canvas may be smaller than the photo
            alpha = alpha.resize(photo.size, Image.Resampling.NEAREST)
        mask |= np.asarray(alpha) > 0
    return photo.convert("RGB"), mask


def read_layout(value):
    """Read the class ids from the layout editor's value."""
    picture = (value or {}).get("composite")
    if picture is None or picture.getchannel("A").getextrema()[0] < 255:
        raise ValueError("A part of the layout is missing. Press Undo my changes to bring it back.")
    return picture_to_layout(picture)


def example_paintings(folder=EXAMPLES):
    """Find the examples, `NAME.png` with `NAME.mask.png` (white = hole), as values of the photo editor."""
    paintings = []
    for path in sorted(folder.glob("*.png")):
        mask_path = path.with_suffix(".mask.png")
        if mask_path.exists():
            photo = read_photo(path)
            layer = Image.new("RGBA", photo.size, MASK_COLOUR)
            layer.putalpha(Image.fromarray(read_mask(mask_path) * np.uint8(255 * MASK_OPACITY)))
            composite = Image.alpha_composite(photo.convert("RGBA"), layer)
            paintings.append({"background": photo, "layers": [layer], "composite": composite})
    return paintings


# What the buttons do


@in_plain_words
def press_restore(painting, aligned, seed, count):
    """Restore the painted part of the photo and show it with its layout."""
    photo, mask = read_painting(painting)
    started = time.perf_counter()
    results = make_results(photo, mask, align=not aligned, seed=seed, count=count)
    visit = Visit(photo, mask, not aligned, results[0].layout, results)
    picture = layout_to_picture(visit.predicted)
    return gr.Column(visible=True), picture, *show_attempt(visit, time.perf_counter() - started)


@in_plain_words
def press_render(visit, painting, seed, count):
    """Paint the face again from the layout as the visitor repainted it."""
    layout = read_layout(painting)
    started = time.perf_counter()
    results = make_results(visit.photo, visit.mask, align=visit.align, seed=seed, count=count, layout=layout)
    return show_attempt(replace(visit, results=results, chosen=0), time.perf_counter() - started)


def make_results(photo, mask, *, align, seed, count, layout=None):
    """Run the model with the page's options; an emptied seed counts as 0."""
    load_inpainter()  # outside of the GPU's time, and kept for the next visitor
    return run_inpainter(
        photo, mask, align=align, layout=layout, seed=int(seed or 0), num_variations=int(count)
    )


def show_attempt(visit, seconds):
    """Show a new attempt: the variations to choose from, what to say about it, and the first of them."""
    notes = [*visit.results[0].notes, f"Took {seconds:.1f} s."]
    pictures = [result.image for result in visit.results]
    gallery = gr.Gallery(pictures, visible=len(pictures) > 1, selected_index=0)
    return " ".join(notes), gallery, *show_chosen(visit)


def show_chosen(visit):
    """Show the chosen variation: kept for this visitor, as the result, to compare, and to download."""
    file = save_pil_to_cache(visit.image, get_upload_folder(), name="restored-face", format="png")
    return visit, visit.image, YOUR_PHOTO, (visit.photo, visit.image), file


def choose(visit, event: gr.SelectData):
    """Take one of the variations."""
    return show_chosen(replace(visit, chosen=event.index))


def reset_layout(visit):
    """Bring the predicted layout back."""
    return layout_to_picture(visit.predicted)


def pick_class(index):
    """Give the layout's brush the colour of a class."""
    return gr.ImageEditor(brush=class_brush(index))


@in_plain_words
def compare(visit, left):
    """Put the photo or another method's result to the left of the slider."""
    if left == YOUR_PHOTO:
        return visit.photo, visit.image
    return BASELINES[left](np.asarray(visit.photo), visit.mask), visit.image


@in_plain_words
def api_restore(photo, mask, align, seed):
    """Fill the white part of the mask; returns the restored photo and the layout in the classes' colours."""
    result = make_results(read_photo(photo), read_mask(mask), align=align, seed=seed, count=1)[0]
    return result.image, layout_to_picture(result.layout)


@in_plain_words
def api_predict_layout(photo, mask, align):
    """Predict the layout, also under the mask; returns a picture of 256 x 256 in the classes' colours."""
    load_inpainter()
    return layout_to_picture(run_layout(read_photo(photo), read_mask(mask), align))


@in_plain_words
def api_render_layout(photo, mask, layout, align, seed):
    """Fill the white part of the mask after a layout, a picture in the classes' colours."""
    photo, mask, layout = read_photo(photo), read_mask(mask), picture_to_layout(read_photo(layout))
    return make_results(photo, mask, align=align, seed=seed, count=1, layout=layout)[0].image


# The page


def class_brush(index):
    """A brush of one class's colour: strokes in any other colour cannot happen."""
    colour = CLASS_COLOURS[index]
    return gr.Brush(colors=[colour], default_color=colour, color_mode="fixed", default_size=12)


def build_page():
    """Build the page; nothing runs until it is launched."""
    with gr.Blocks(
        title="faceinpaint", analytics_enabled=False, delete_cache=(CACHE_SECONDS, CACHE_SECONDS)
    ) as page:
        visit = gr.State()
        gr.Markdown(
            "# Face inpainting you can steer\n"
            "Paint over part of a face. The model plans what goes where, then paints it. "
            "You can repaint the plan and see the face follow."
        )
        painting, button, options = build_photo_section()
        with gr.Column(visible=False) as results:
            layout, result_parts = build_result_section(visit, options)
        run_model(
            button.click,
            press_restore,
            [painting, *options],
            [results, layout, *result_parts],
            waiting=painting,
        )
        gr.Markdown(
            "The filled-in part is made up by a model: it is not what was really there. "
            "Nothing is kept: your pictures are deleted within two hours after you leave.\n\n"
            "The weights are for non-commercial research use only."
        )
        add_api_endpoints()
    return page.queue(max_size=32)


def build_photo_section():
    """Step 1, the photo and what to paint over; returns its editor, its button and the options."""
    gr.Markdown("## 1 · Paint over what should go")
    with gr.Row():
        with gr.Column(scale=3, min_width=320):
            painting = gr.ImageEditor(
                type="pil",
                format="png",
                label="Photo",
                height=520,
                layers=False,
                # An example's strokes are drawn once more on this canvas: of its size, they coincide.
                canvas_size=(512, 512),
                transforms=(),
                brush=gr.Brush(colors=[(MASK_COLOUR, MASK_OPACITY)], color_mode="fixed"),
                placeholder="# Drop a photo here\nor click to choose one",
                elem_id="photo",
            )
        with gr.Column(scale=2, min_width=320):
            button = gr.Button("Restore", variant="primary", size="lg")
            with gr.Accordion("Options", open=False):
                aligned = gr.Checkbox(
                    label="My picture already is an aligned face",
                    info="A square picture filled by one upright face: skips looking for the face.",
                )
                count = gr.Slider(1, 4, value=1, step=1, label="Variations")
                seed = gr.Number(
                    0, precision=0, minimum=0, label="Seed", info="The same seed gives the same face."
                )
            if paintings := example_paintings():
                gr.Examples(paintings, painting, label="Or pick an example", api_visibility="private")
    return painting, button, [aligned, seed, count]


def build_result_section(visit, options):
    """Steps 2 to 4; returns the layout's editor and, in the order of `show_attempt`, what shows a result."""
    _, seed, count = options
    with gr.Row():
        with gr.Column(min_width=320):
            gr.Markdown("## 2 · See the result")
            result = gr.Image(
                label="Restored",
                format="png",
                height=440,
                buttons=["download", "fullscreen"],
                elem_id="result",
            )
            notes = gr.Markdown(elem_id="notes")
            gallery = gr.Gallery(
                label="Pick the one you like",
                columns=4,
                height=300,  # two square thumbnails side by side just fit
                object_fit="contain",
                allow_preview=False,
                format="png",
                buttons=["download"],
            )
            download = gr.DownloadButton("Download as PNG")
        with gr.Column(min_width=320):
            gr.Markdown("## 3 · Repaint the layout")
            layout = gr.ImageEditor(
                type="pil",
                format="png",
                label="Layout",
                height=440,
                layers=False,
                transforms=(),
                sources=(),
                brush=class_brush(FIRST_CLASS),
                elem_id="layout",
            )
            palette = gr.Radio(
                [(name.capitalize(), index) for index, name in enumerate(CLASSES)],
                value=FIRST_CLASS,
                label="Paint with",
                info="Left and right are the person's own.",
                elem_id="palette",
            )
            with gr.Row():
                render_button = gr.Button("Render", variant="primary")
                reset_button = gr.Button("Undo my changes")
    gr.Markdown("## 4 · Compare")
    left = gr.Radio(LEFT_SIDES, value=YOUR_PHOTO, label="Left side", elem_id="left-side")
    slider = gr.ImageSlider(label="Left side | restored", format="png", max_height=520, elem_id="compare")

    chosen_parts = [visit, result, left, slider, download]
    parts = [notes, gallery, *chosen_parts]
    run_model(render_button.click, press_render, [visit, layout, seed, count], parts, waiting=result)
    reset_button.click(reset_layout, visit, layout, api_visibility="private")
    palette.input(pick_class, palette, layout, show_progress="hidden", queue=False, api_visibility="private")
    gallery.select(choose, visit, chosen_parts, show_progress="hidden", api_visibility="private")
    left.input(compare, [visit, left], slider, api_visibility="private")
    return layout, parts


def add_api_endpoints():
    """Offer the three steps to programs, under names of their own and with plain pictures in and out."""
    with gr.Row(visible=False):
        photo = gr.File(label="photo")
        mask = gr.File(label="mask, white where to fill")
        layout = gr.File(label="layout in the classes' colours")
        align = gr.Checkbox(True, label="find and align the face first")
        seed = gr.Number(0, precision=0, label="seed")
        restored = gr.Image(format="png", label="restored photo")
        predicted = gr.Image(format="png", label="layout in the classes' colours")
        trigger = gr.Button().click
        run_model(trigger, api_restore, [photo, mask, align, seed], [restored, predicted], name="restore")
        run_model(trigger, api_predict_layout, [photo, mask, align], predicted, name="predict_layout")
        inputs = [photo, mask, layout, align, seed]
        run_model(trigger, api_render_layout, inputs, restored, name="render_layout")


def run_model(event, handler, inputs, outputs, *, waiting=None, name=None):
    """Tie an event to a handler that runs the model; all of them wait in one queue, one at a time."""
    done = event(
        handler,
        inputs,
        outputs,
        show_progress="minimal",  # the time and the place in the queue, without covering the picture
        show_progress_on=waiting,
        concurrency_limit=1,
        concurrency_id="model",
        api_name=name,
        api_visibility="public" if name else "private",
    )
    if waiting:
        done.success(None, js=SCROLL_TO_RESULT)


if __name__ == "__main__":
    build_page().launch(theme=THEME, css=CSS, footer_links=["api", "gradio", "settings"], run_history=False)
