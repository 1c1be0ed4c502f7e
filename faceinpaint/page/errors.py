"""What goes wrong, as sentences for the visitor."""

import functools
import logging
import secrets
import traceback

import gradio as gr

logger = logging.getLogger(__name__)


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
    return gr.Error(sentence, print_exception=False)


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
    return gr.Error(sentence, print_exception=False)
