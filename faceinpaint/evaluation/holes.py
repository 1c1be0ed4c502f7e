"""Which face is measured under which hole, and whether it can be."""

import numpy as np


def pair_masks(masks, num_faces, seed=0):
    """Give every face one mask of each tenth of hole ratio.

    The first faces get the same masks however many faces there are, so a short run is a part of the long one.

    Args:
        masks: N x H x W bool tensor, true in the hole; masks without a hole are left out.
        num_faces: how many faces there are.
        seed: names the order in which masks are dealt out.

    Returns:
        List of (face index, mask index, tenth of hole ratio 0 to 9), tenth by tenth.

    Raises:
        ValueError: no mask has a hole.
    """
    ratios = masks.flatten(1).float().mean(1).numpy()
    tenths = np.minimum((ratios * 10).astype(int), 9)
    pairs = []
    for tenth in range(10):
        candidates = np.flatnonzero((tenths == tenth) & (ratios > 0))
        if candidates.size:
            order = np.random.default_rng([seed, tenth]).permutation(candidates)
            pairs += [(face, int(order[face % order.size]), tenth) for face in range(num_faces)]
    if not pairs:
        raise ValueError("None of the masks has a hole: white must mark what is to be filled.")
    return pairs


def pair_bands(masks, num_faces, bands, seed=0):
    """Give every face one mask of each of some fifths of hole ratio, from its two tenths by turns.

    Args:
        masks: as of `pair_masks`.
        num_faces: how many faces there are.
        bands: which fifths, such as (0, 1, 2) for 0-20%, 20-40% and 40-60%.
        seed: as of `pair_masks`.

    Returns:
        List of (face index, mask index, band), a part of `pair_masks`, face by face.

    Raises:
        ValueError: a band has no mask.
    """
    pairs = pair_masks(masks, num_faces, seed)
    there = {tenth for _, _, tenth in pairs}
    chosen = []
    for band in bands:
        tenths = [tenth for tenth in (2 * band, 2 * band + 1) if tenth in there]
        if not tenths:
            raise ValueError(f"None of the masks hides {percent(band)} of the picture.")
        chosen += [(face, mask, band) for face, mask, tenth in pairs if tenth == tenths[face % len(tenths)]]
    return sorted(chosen)


def check_labelled(faces, measure):
    """Raise ValueError where one of the `datasets.Faces` has no label map: --measure `measure` needs it."""
    if not faces.labelled.all():
        raise ValueError(f"--measure {measure} needs a label map for each face.")


def percent(index, width=2):
    """The hole ratios of a group that is `width` tenths wide: (1, 2) is "20-40%"."""
    return f"{index * width * 10}-{(index + 1) * width * 10}%"


def hide(image, hole, grey=128):
    """A picture (H x W x 3 uint8) whose hole (H x W bool) is grey, so that no method sees the truth."""
    return np.where(hole[..., None], np.uint8(grey), image)
