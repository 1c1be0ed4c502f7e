"""How components are tied to handlers; `page.js` has what happens in the browser."""

from .errors import in_plain_words


def after_sending(event, editor, sent, beside=(), lock=None, trigger_mode=None):
    """The event that what is painted on an editor, at another event, has arrived in the hidden editor `sent`.

    As an input of a handler Gradio's editor would send its pictures some ten times a press: at every change
    of what is known of any event's progress. `beside` are two hidden components: what the first one says at
    that moment goes to the second. `lock` is the class of what takes no press until `unlock`.
    """
    options = {"trigger_mode": trigger_mode, "api_visibility": "private"}
    event(None, js=f"() => faceinpaint.sending('{editor.elem_id}')", **options)
    if lock:
        lock_at(event, lock)
    hand_over = "(painting, ...beside) => [faceinpaint.sent(painting), ...beside]"
    arrived = event(None, [editor, *beside[:1]], [sent, *beside[1:]], js=hand_over, **options)
    if editor.elem_id == "photo":
        keep_unread(arrived.failure)
    if lock:
        arrived.failure(None, js=_unlocking(lock), api_visibility="private")
    return arrived.success


def lock_at(event, lock):
    """Let what is of the class `lock` take no press, from an event on, until `unlock`."""
    event(None, js=f"() => faceinpaint.lock('{lock}')", api_visibility="private")


def unlock(answer, lock):
    """Let what is locked take presses again, whether the answer is one or a refusal."""
    # Gradio's `then` comes after a success only, other than its name says.
    for outcome in (answer.success, answer.failure):
        outcome(None, js=_unlocking(lock), api_visibility="private")


def keep_unread(*outcomes):
    """What was painted on the photo, and sent, is still unknown to the visit after these outcomes."""
    for outcome in outcomes:
        outcome(None, js="() => faceinpaint.keepUnread()", api_visibility="private")


def _unlocking(lock):
    return f"() => faceinpaint.unlock('{lock}')"


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
    made.success(None, js=f"() => faceinpaint.download('{button.elem_id}')", api_visibility="private")
    return made


def on_model(event, handler, inputs, outputs, wait_on, **options):
    """The same for a handler that runs the model: all of these wait in one queue, one at a time."""
    queue = {"concurrency_limit": 1, "concurrency_id": "model"}
    return on(event, handler, inputs, outputs, wait_on, **queue, **options)
