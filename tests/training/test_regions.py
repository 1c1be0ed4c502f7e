import torch

from faceinpaint.training.regions import crop, draw_windows

SIDE = 96


def test_the_perceptual_losses_look_into_every_hole_wherever_it_is():
    generator = torch.Generator().manual_seed(0)
    holes = torch.zeros(64, 1, 256, 256)
    for hole in holes:
        row, column = torch.randint(254, (2,), generator=generator).tolist()
        hole[0, row : row + 2, column : column + 2] = 1
    holes[0, 0, 0, 0] = holes[1, 0, 255, 255] = 1
    windows = draw_windows(holes, SIDE, generator)
    seen = crop(holes, windows, SIDE)
    assert seen.shape == (64, 1, SIDE, SIDE)
    assert bool((seen.flatten(1).amax(1) == 1).all())
    # Every level of VGG19 and its layout, at a quarter of the size, begin at the same place.
    assert bool((windows % 4 == 0).all())
    # A face without a hole has a window, too; a small picture is seen whole.
    assert crop(holes[:1], draw_windows(0 * holes[:1], SIDE, generator), SIDE).shape[-1] == SIDE
    small = holes[:2, :, :64, :64]
    assert torch.equal(crop(small, draw_windows(small, SIDE, generator), SIDE), small)
