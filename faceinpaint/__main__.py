"""The command line, `python -m faceinpaint COMMAND`: use the model, measure it, train it."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from . import benchmark, examples, photos
from .evaluation import command as evaluation
from .pipeline import MAX_VARIATIONS, FaceInpainter
from .semantics import layout_to_picture


def main(arguments=None):
    """Run one command; a mistake of the user ends with a sentence on stderr and the exit status 2."""
    # Imported here so that nothing of training loads with the package.
    from .training import ablation, command

    parser = argparse.ArgumentParser(prog="python -m faceinpaint", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = {}
    for name, text, add_arguments, run in (
        ("restore", "restore a photo, or a folder of photos", _add_restore_arguments, restore),
        ("examples", "restore the page's examples anew", examples.add_arguments, examples.main),
        ("evaluate", "measure on faces and masks", evaluation.add_arguments, evaluation.main),
        ("benchmark", "measure frames, seams and speed", benchmark.add_arguments, benchmark.main),
        ("label", "label faces by Stage 1", command.add_label_arguments, command.label_command),
        ("train", "train the prior or a stage", command.add_train_arguments, command.train_command),
        ("ablate", "measure what each idea is worth", ablation.add_arguments, ablation.main),
    ):
        subparser = commands.add_parser(name, help=text, description=text)
        add_arguments(subparser)
        if name != "train":
            subparser.add_argument(
                "--checkpoint", help="folder or Hub repo id (default: the shipped weights)"
            )
        runs[name] = run
    options = parser.parse_args(arguments)
    try:
        runs[options.command](options)
    except (ValueError, OSError) as error:
        print(f"faceinpaint: {error}", file=sys.stderr)
        return 2
    return 0


def restore(options):
    """Restore one photo, or every photo of a folder by the mask of the same name."""
    source, masks, out = Path(options.photo), Path(options.mask), Path(options.out)
    inpainter = FaceInpainter.from_pretrained(options.checkpoint)
    if not source.is_dir():
        _restore_file(inpainter, source, masks, out, source.stem, options, options.layout_out)
        return
    out.mkdir(parents=True, exist_ok=True)
    files = _pictures_in(source)
    if not files:
        raise ValueError(f"There is no photo in {source}.")
    failures = []
    stems = Counter(file.stem for file in files)
    for file in tqdm(files, unit="photo"):
        # Of photos that differ by their format only, neither shall overwrite what was made of the other.
        name = file.stem if stems[file.stem] == 1 else file.name
        layout_out = Path(options.layout_out) / f"{name}.png" if options.layout_out else None
        try:
            mask = _mask_of(file, masks) if masks.is_dir() else masks
            _restore_file(inpainter, file, mask, out, name, options, layout_out)
        except ValueError as error:
            failures.append(f"{file.name}: {error}")
    if failures:
        raise ValueError("\n".join([f"{len(failures)} of {len(files)} photos failed.", *failures]))


def _pictures_in(folder):
    """The files of a folder whose names end as a picture's, sorted."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in photos.SUFFIXES)


def _mask_of(photo, folder):
    """The mask of a photo's name, of the same format where there are several."""
    masks = [file for file in _pictures_in(folder) if file.stem == photo.stem]
    if not masks:
        raise ValueError(f"There is no mask named {photo.stem} in {folder}.")
    return min(masks, key=lambda mask: mask.name != photo.name)


def _restore_file(inpainter, photo, mask, out, name, options, layout_out):
    """Restore one photo; `out` is a picture to write, or a folder for one called `name` and a suffix."""
    # Formats that blur colours would write a layout that can't be read again.
    if layout_out and Path(layout_out).suffix.lower() != ".png":
        raise ValueError(f"{layout_out} cannot be written: a layout's picture is a .png file.")
    given = {Path(path).resolve() for path in (photo, mask, options.layout) if path}
    photo = photos.Photo.open(photo)
    if out.is_dir():
        out = out / f"{name}{photo.suffix}"
    paths = [
        [_numbered(Path(path), number) for path in (out, layout_out) if path]
        for number in range(1, options.variations + 1)
    ]
    for path in sum(paths, []):
        if path.resolve() in given:
            raise ValueError(f"{path} would be written over, and it is needed. Choose another name for -o.")
    # Only the first were named by the user: what goes by the further names may be another's.
    for path in sum(paths[1:], []):
        if path.exists():
            raise ValueError(f"{path} is there already. Move it away, or choose another name for -o.")
    results = inpainter(
        photo,
        photos.read_mask(mask),
        layout=photos.read_layout_file(options.layout) if options.layout else None,
        align=not options.aligned,
        seed=options.seed,
        num_variations=options.variations,
        beneath=True,
    )
    results = results if options.variations > 1 else [results]
    for result, (picture, *layouts) in zip(results, paths, strict=True):
        for path in (picture, *layouts):
            path.parent.mkdir(parents=True, exist_ok=True)
        result.photo.save(picture)
        for path in layouts:
            layout_to_picture(result.layout).save(path)
    for note in results[0].notes:
        print(note)


def _numbered(path, number):
    """Where variation `number` of a restoration goes: the first to `path`, the others beside it."""
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")


def _add_restore_arguments(parser):
    parser.add_argument("photo", help="a photo, or a folder of photos")
    parser.add_argument("--mask", required=True, help="its mask, white = fill; or a folder of masks")
    parser.add_argument("-o", "--out", required=True, help="picture, or folder, to write")
    parser.add_argument("--layout", help="layout to paint from: class ids or the classes' colours, 256 x 256")
    parser.add_argument("--layout-out", help="layout's picture to write, a .png file; for a folder a folder")
    parser.add_argument("--aligned", action="store_true", help="the photo already is an aligned face")
    parser.add_argument(
        "--variations", type=int, default=1, choices=range(1, MAX_VARIATIONS + 1),
        help="how many faces for the same hole; the likeliest goes to OUT, the others beside it, numbered",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="another one gives other variations")


if __name__ == "__main__":
    sys.exit(main())
