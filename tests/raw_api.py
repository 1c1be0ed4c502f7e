"""Requests to a running page as any program can send them, without Gradio's client and its care."""

import json
import secrets
import urllib.error
import urllib.request
from typing import NamedTuple

SECONDS = 10  # within which everything is answered


class Answer(NamedTuple):
    """What the page answered: the HTTP status, whether it did what was asked, and its data or sentence."""

    status: int
    done: bool
    value: object


def call(url, name, data):
    """Send `data`, JSON's values or its text, to one of the page's named endpoints."""
    body = data if isinstance(data, bytes) else json.dumps({"data": data}).encode()
    status, text = send(f"{url}gradio_api/call/{name}", body)
    if status != 200:
        return Answer(status, False, text.decode())
    event = json.loads(text)["event_id"]
    status, text = send(f"{url}gradio_api/call/{name}/{event}")
    kind, value = text.decode().strip().rsplit("\n\n", 1)[-1].split("\n")
    value = json.loads(value.removeprefix("data: "))
    done = kind == "event: complete"
    return Answer(status, done, value if done else value["error"])


def press(url, page, component, event, data, session=None, event_data=None):
    """Send what the browser sends when something happens to one of the page's components."""
    fns = page.blocks.fns.items()
    tied = [i for i, fn in fns if (component._id, event) in fn.targets]
    # What is painted on an editor is sent by an event of the browser's own, before the handler's.
    number = next(i for i, fn in fns if fn.fn and (i in tied or fn.trigger_after in tied))
    session = session or secrets.token_hex(8)
    body = {"fn_index": number, "session_hash": session, "data": data, "event_data": event_data}
    return join(url, session, json.dumps(body).encode())


def join(url, session, body):
    """Send a request's text to the queue, and wait for the answer."""
    status, text = send(url + "gradio_api/queue/join", body)
    if status != 200:
        return Answer(status, False, text.decode())
    status, text = send(f"{url}gradio_api/queue/data?session_hash={session}")
    messages = [json.loads(line.removeprefix("data: ")) for line in text.decode().split("\n\n") if line]
    (message,) = (message for message in messages if message["msg"] == "process_completed")
    output, done = message["output"], message["success"]
    return Answer(status, done, output["data" if done else "error"])


def upload(url, content, name="photo.png"):
    """Upload a file; returns the HTTP status and the path that the page gave it, or its refusal."""
    boundary = secrets.token_hex(8)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    kind = f"multipart/form-data; boundary={boundary}"
    status, text = send(url + "gradio_api/upload", body, kind)
    return status, json.loads(text)[0] if status == 200 else text.decode()


def send(url, body=None, kind="application/json"):
    """The status and the body of an HTTP answer, also of a refusal."""
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def file(path):
    """A file's value in a request."""
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}
