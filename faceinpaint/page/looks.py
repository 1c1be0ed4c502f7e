"""How the page looks, and where its scripts come from."""

from pathlib import Path

import gradio as gr
from gradio.themes.utils.fonts import LocalFont

from .editors import CLASS_COLOURS

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
PALETTE_CSS = "\n".join(
    f"#palette label:nth-of-type({number}) {{ border-left-color: {colour} }}"
    for number, colour in enumerate(CLASS_COLOURS, 1)
)

LOOKS = {
    "theme": THEME,
    "css": PALETTE_CSS,
    "css_paths": Path(__file__).with_name("page.css"),
    "head": f"<script>{Path(__file__).with_name('page.js').read_text(encoding='utf-8')}</script>",
}
"""Options of `gradio.Blocks.launch`."""
