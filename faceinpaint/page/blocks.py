"""Gradio's blocks, between a request and its answer."""

from contextvars import ContextVar

import gradio as gr
from gradio.processing_utils import check_all_files_in_cache

from .errors import failure, refusal
from .visits import Visit

MAX_VISITS_BYTES = 4_000_000_000  # of all visits together; the photos of the oldest ones are forgotten

asked_about = ContextVar("the visit that a request's handler was given", default=None)


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
        asked_about.set(next((value for value in values if isinstance(value, Visit)), None))
        return values

    async def postprocess_data(self, block_fn, predictions, state):
        """Gradio's own, between a handler and its answer.

        An answer about a photo, or a layout, that the visitor has left meanwhile is dropped; of the same
        photo's visit what other handlers have changed meanwhile is kept.
        """
        named = predictions.items() if isinstance(predictions, dict) else ()
        component, visit = next((item for item in named if isinstance(item[1], Visit)), (None, None))
        before = asked_about.get()
        if visit and component in block_fn.inputs:
            now = state and state.get(component._id)
            left = not now or now.photo is not visit.photo
            if left or before and visit.is_overtaken(before, now):
                predictions = {component: now}
            elif before and before is not now:
                predictions = predictions | {component: visit.merged(before, now)}
        answer = await super().postprocess_data(block_fn, predictions, state)
        if visit:
            self._forget_oldest()
        return answer

    def _forget_oldest(self):
        """Forget the photos of the oldest visits where all visits together take too much memory."""
        room = MAX_VISITS_BYTES
        for session in reversed(list(self.state_holder.session_data.values())):
            for key, value in list(session.state_data.items()):
                if isinstance(value, Visit):
                    room -= value.size
                    session.state_data[key] = value if room >= 0 else None

    async def process_api(self, *args, **options):
        """Gradio's own, from a request to its answer."""
        try:
            return await super().process_api(*args, **options)
        except gr.Error:
            raise
        except Exception as error:
            raise failure(error) from error
