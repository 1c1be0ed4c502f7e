"""What both stages see of a face."""

import torch

from .membrane import membrane


def start_of_face(image, mask, prior=None):
    """The visible face and, in the hole, the prior's picture joined to it.

    What the prior is off by at the hole's edge is carried into the hole.

    Args:
        image: N x 3 x H x W; hidden pixels are not looked at.
        mask: N x 1 x H x W, 1 = hole.
        prior: N x 3 x H x W, the face prior's picture; without one the visible is continued smoothly.

    Returns:
        N x 3 x H x W.
    """
    return membrane(image, mask) if prior is None else prior + membrane(image - prior, mask)


def with_mirror_image(start, mask):
    """A face and its mask beside their mirror images: what one half of it hides the other may show.

    Args:
        start: N x 3 x H x W.
        mask: N x 1 x H x W.

    Returns:
        N x 8 x H x W: face, mask, face mirrored, mask mirrored.
    """
    face = torch.cat([start, mask], 1)
    return torch.cat([face, face.flip(-1)], 1)
