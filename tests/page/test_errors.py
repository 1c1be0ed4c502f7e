import gradio as gr
import pytest

from faceinpaint.page.errors import in_plain_words


def told(error):
    """What the visitor is told when a handler fails."""

    @in_plain_words
    def fails():
        raise error

    with pytest.raises(gr.Error) as caught:
        fails()
    return caught.value


def test_a_refusal_reaches_the_visitor_as_its_sentence():
    answer = told(ValueError("No face was found."))
    assert answer.message == "No face was found." and not answer.print_exception


@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), FileNotFoundError("/srv/visit/photo.png")])
def test_an_unexpected_failure_is_a_sentence_too(error):
    answer = told(error)
    assert str(error) not in answer.message and answer.message.startswith("Something broke")
    assert not answer.print_exception


def test_gradios_own_sentence_is_kept():
    """ZeroGPU tells so that a visitor's share of it is used up."""
    quota = gr.Error("You have used up your GPU time.")
    assert told(quota) is quota
