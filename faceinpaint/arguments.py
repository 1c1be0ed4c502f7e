"""What several commands of the command line ask of their arguments."""

import argparse

from PIL import Image


def positive(text):
    """A whole number from 1 up, for `argparse`."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 up, not {text!r}")
    return number


def check_sheet(path):
    """ValueError if the name of a picture sheet, a `Path` or None, is not that of a picture."""
    if path and path.suffix.lower() not in Image.registered_extensions():
        raise ValueError(f"The picture sheet {path} needs the name of a picture, such as sheet.png.")
