import cv2
import numpy as np
import pytest

from faceinpaint.alignment import FaceFrame
from faceinpaint.detail import (
    CELL,
    _grain_to_carry,
    carry_detail,
    enlarge,
    even_skin,
    match_edge,
    match_sharpness,
    match_tone,
    pick_sources,
    soften,
    soften_enlarged,
)
from faceinpaint.semantics import CLASSES

SIDE = 256 // CELL

EVEN = np.full((256, 256, 3), 120, np.uint8)
"""An aligned face of one brightness."""

NO_GRAIN = np.zeros((256, 256, 3), np.int16)


@pytest.fixture
def unknown():
    area = np.zeros((256, 256), bool)
    area[96:160, 64:192] = True
    return area


def test_sources_are_visible_of_the_same_class_and_where_attention_looked(unknown):
    layout = np.ones((256, 256), np.uint8)
    layout[:, 128:] = 13
    attention = np.full((SIDE * SIDE, SIDE * SIDE), 1e-4, np.float32)
    attention[:, 3 * SIDE : 3 * SIDE + 8] = 1  # in the left half, at 0..63, 24..31
    steps = pick_sources(attention, EVEN, unknown, layout)
    assert steps.shape == (SIDE, SIDE, 2)
    y, x = np.nonzero(unknown[::CELL, ::CELL])
    source = np.stack([x, y], -1) * CELL + steps[y, x]
    assert not unknown[source[:, 1], source[:, 0]].any()
    assert np.array_equal(layout[source[:, 1], source[:, 0]], layout[y * CELL, x * CELL])
    left = source[x * CELL < 128]
    assert (left[:, 1] == 3 * CELL).mean() > 0.9 and left[:, 0].max() < 64


def test_no_source_gives_so_often_that_it_would_show(unknown):
    layout = np.full((256, 256), CLASSES.index("cloth"), np.uint8)
    layout[96:160, 64:192] = CLASSES.index("skin")
    layout[:CELL, : 3 * CELL] = CLASSES.index("left ear")
    steps = pick_sources(np.ones((SIDE**2, SIDE**2), np.float32), EVEN, unknown, layout)
    y, x = np.nonzero(steps.any(-1))
    sources = np.stack([x, y], -1) + steps[y, x] // CELL
    assert np.unique(sources, axis=0, return_counts=True)[1].tolist() == [16, 16, 16]
    assert unknown[y * CELL, x * CELL].all()


def test_who_comes_too_late_takes_the_next_best(unknown):
    layout = np.full((256, 256), CLASSES.index("skin"), np.uint8)
    attention = np.full((SIDE**2, SIDE**2), 1e-6, np.float32)
    attention[:, 5] = 1
    steps = pick_sources(attention, EVEN, unknown, layout)
    y, x = np.nonzero(unknown[::CELL, ::CELL])
    source = np.stack([x, y], -1) + steps[y, x] // CELL
    assert steps[y, x].any(-1).all()
    assert (source == (5, 0)).all(1).sum() == 16


def test_a_neck_gives_to_a_face_and_a_stranger_gives_nothing(unknown):
    attention = np.ones((SIDE * SIDE, SIDE * SIDE), np.float32)
    layout = np.full((256, 256), CLASSES.index("skin"), np.uint8)
    layout[:48] = CLASSES.index("neck")
    layout[48:96] = layout[160:] = layout[:, :64] = layout[:, 192:] = CLASSES.index("cloth")
    y, x = np.nonzero(unknown[::CELL, ::CELL])
    source = np.stack([x, y], -1) * CELL + pick_sources(attention, EVEN, unknown, layout)[y, x]
    assert (layout[source[:, 1], source[:, 0]] == CLASSES.index("neck")).all()
    layout[:48] = CLASSES.index("cloth")
    assert not pick_sources(attention, EVEN, unknown, layout).any()


def test_a_bright_cheek_takes_nothing_from_a_shadow(unknown):
    layout = np.full((256, 256), CLASSES.index("skin"), np.uint8)
    restored = EVEN.copy()
    restored[:, 128:] = 60
    steps = pick_sources(np.ones((SIDE**2, SIDE**2), np.float32), restored, unknown, layout)
    y, x = np.nonzero(unknown[::CELL, ::CELL])
    source = np.stack([x, y], -1) * CELL + steps[y, x]
    taken = restored[source[:, 1], source[:, 0], 0]
    assert (taken == restored[y * CELL, x * CELL, 0]).mean() > 0.98


@pytest.mark.parametrize("noise", [0, 20])
def test_folds_give_no_grain_but_where_noise_hides_them(unknown, noise):
    """The right half of the skin has folds, as an ear has."""
    layout = np.full((256, 256), CLASSES.index("skin"), np.uint8)
    attention = np.ones((SIDE**2, SIDE**2), np.float32)
    restored = 120 + noise * np.random.default_rng(0).standard_normal((256, 256, 3))
    restored[:, 128:] += 10 * np.sin(np.arange(256) * 2 * np.pi / 12)[:, None, None]
    restored = restored.clip(0, 255).round().astype(np.uint8)
    steps = pick_sources(attention, restored, unknown, layout)
    y, x = np.nonzero(unknown[::CELL, ::CELL])
    from_folds = (x * CELL + steps[y, x, 0] >= 128).mean()
    assert from_folds > 0.2 if noise else from_folds == 0


def test_nothing_visible_has_no_sources():
    everywhere = np.ones((256, 256), bool)
    assert pick_sources(np.ones((SIDE**2, SIDE**2)), EVEN, everywhere, np.zeros((256, 256), np.uint8)) is None


def test_stains_leave_painted_skin_but_not_its_light_nor_the_lips(unknown):
    layout = np.full((256, 256), CLASSES.index("skin"), np.uint8)
    layout[130:150, 90:160] = CLASSES.index("lower lip")
    light = np.random.default_rng(0).integers(120, 180, (256, 256, 1))
    painted = np.clip(light + [20, 0, -20], 0, 255).astype(np.uint8)
    stained = painted.copy()
    stained[100:104, 100:104] += np.array([0, 12, -20], np.int16).astype(np.uint8)  # yellow
    lips = layout == CLASSES.index("lower lip")
    stained[lips] = (180, 60, 70)
    even = even_skin(stained, unknown, layout)

    def tint(picture):
        return picture[..., 2].astype(float) - picture[..., 0]

    stain = np.s_[100:104, 100:104]
    assert np.abs(tint(stained)[stain] + 40).mean() > 15
    assert np.abs(tint(even)[stain] + 40).mean() < 5
    weights = 0.299, 0.587, 0.114
    assert np.abs(even @ weights - stained @ weights)[~lips].max() < 3
    np.testing.assert_array_equal(even[lips], stained[lips])
    beside = ~lips & (np.roll(lips, 4, 0) | np.roll(lips, -4, 0))
    # Nor do the lips stain the skin.
    assert np.abs(tint(even) + 40)[beside].max() < 5


def test_skin_far_from_the_hole_and_a_face_without_skin_stay(unknown):
    painted = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    layout = np.full((256, 256), CLASSES.index("skin"), np.uint8)
    even = even_skin(painted, unknown, layout)
    np.testing.assert_array_equal(even[:60], painted[:60])
    assert even_skin(painted, unknown, np.zeros_like(layout)) is painted
    assert even_skin(painted, np.zeros_like(unknown), layout) is painted


@pytest.mark.parametrize("blur", [1.0, 2.0, 3.0])
def test_the_hole_of_a_blurred_photo_is_as_blurred(unknown, blur):
    layout = np.full((256, 256), CLASSES.index("skin"), np.uint8)
    sharp = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    sharp = cv2.GaussianBlur(sharp, (0, 0), 0.7)
    photo = cv2.GaussianBlur(sharp, (0, 0), blur)
    soft = match_sharpness(photo, sharp, unknown, layout)

    def roughness(picture):
        return np.abs(np.diff(picture[100:156, 68:188].astype(float), axis=0)).mean()

    assert roughness(sharp) > 1.5 * roughness(photo)
    assert 0.6 * roughness(photo) < roughness(soft) < 1.3 * roughness(photo)
    # The page may show what was painted next to the hole; there it is as it was.
    np.testing.assert_array_equal(soft[~unknown], sharp[~unknown])


def test_a_sharp_face_before_a_blurred_background_stays_sharp(unknown):
    layout = np.full((256, 256), CLASSES.index("skin"), np.uint8)
    layout[:, :60] = layout[:, 196:] = layout[:48] = CLASSES.index("background")
    sharp = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8), (0, 0), 0.7)
    someone = (layout > 0)[..., None]
    photo = np.where(someone, sharp, cv2.GaussianBlur(sharp, (0, 0), 4))
    np.testing.assert_array_equal(match_sharpness(photo, sharp, unknown, layout), sharp)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 4)
    # Nothing of the face to compare with.
    alone = layout * cv2.dilate(unknown.astype(np.uint8), np.ones((5, 5), np.uint8))
    np.testing.assert_array_equal(match_sharpness(blurred, sharp, unknown, alone), sharp)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("levels", [1, 2])
def test_a_photo_of_hardly_any_levels_stays_so(unknown, levels):
    flat = np.full((256, 256, 3), 90, np.uint8)
    flat[:, ::levels] = 30
    painted = np.random.default_rng(0).integers(0, 256, flat.shape).astype(np.uint8)
    matched = match_tone(flat, unknown, painted).astype(int)
    assert np.ptp(matched, axis=2).max() <= 3


@pytest.mark.parametrize("tint", [(1, 1, 1), (1.07, 0.9, 0.7)])
def test_a_photo_in_one_tone_stays_so(unknown, photo, tint):
    toned = np.clip(photo.mean(2, keepdims=True) * tint, 0, 255).astype(np.uint8)
    painted = np.random.default_rng(0).integers(40, 200, (256, 256, 3), np.uint8)
    matched = match_tone(toned, unknown, painted).astype(float)
    # As bright as it was painted, and of the photo's tint.
    light = painted @ (0.299, 0.587, 0.114)
    assert np.abs(matched @ (0.299, 0.587, 0.114) - light).max() < 3
    shade = np.array(tint) / (np.array(tint) @ (0.299, 0.587, 0.114))
    dark = light < 150  # the rest is clipped
    assert np.abs(matched - light[..., None] * shade)[dark].max() < 6


@pytest.fixture
def portrait_without_skin():
    """A photo of brown hair and grey clothes on white, its skin hidden; where that is; and it with a face."""
    rng = np.random.default_rng(0)
    strands = cv2.GaussianBlur(rng.standard_normal((256, 256)), (0, 0), 1.5, sigmaY=12)
    light = 45 + 15 * (strands / strands.std())[..., None]
    hair, clothes = light * (1.09, 0.97, 0.92), light * (0.99, 1, 1.03)
    y, x = np.mgrid[:256, :256]
    photo = np.where(np.hypot(x - 128, y - 110)[..., None] < 90, hair, (250, 250, 252))
    photo = np.where(y[..., None] < 210, photo, clothes)
    face = np.hypot((x - 128) / 55, (y - 130) / 75) < 1
    shading = 150 + 30 * np.cos(y / 40)[..., None]
    painted = np.where(face[..., None], shading * (1.2, 0.95, 0.8), photo)
    photo, painted = (np.clip(picture, 0, 255).astype(np.uint8) for picture in (photo, painted))
    return np.where(face[..., None], np.uint8(0), photo), face, painted


def test_hidden_skin_of_a_colour_photo_is_not_taken_for_grey(portrait_without_skin):
    photo, face, painted = portrait_without_skin
    assert match_tone(photo, face, painted) is painted


def test_what_a_photo_in_doubtful_tone_is_painted_in_tells(portrait_without_skin):
    """The networks see it as well: what they paint nearly in its tone is brought into it."""
    photo, face, painted = portrait_without_skin
    grey = cv2.cvtColor(painted, cv2.COLOR_RGB2GRAY)[..., None]
    nearly = (grey + 0.1 * (painted - grey.astype(float))).astype(np.uint8)
    matched = match_tone(photo, face, np.where(face[..., None], nearly, photo))
    assert np.ptp(matched[face].astype(int), axis=1).max() <= 4
    assert np.ptp(nearly[face].astype(int), axis=1).max() > 6


@pytest.mark.parametrize(
    ("tint", "grain", "quality"),
    [((1, 1, 1), 0, 100), ((1, 1, 1), 3, 75), ((1.07, 0.97, 0.76), 0, 50), ((1.07, 0.97, 0.76), 14, 100)],
    ids=["grey", "grey, noisy", "sepia JPEG", "sepia, noisy"],
)
def test_hidden_skin_of_an_old_photo_is_in_its_tone(portrait_without_skin, tint, grain, quality):
    photo, face, painted = portrait_without_skin
    old = 40 + 0.7 * cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None] * np.ones(3)
    old = old * tint + grain * np.random.default_rng(1).standard_normal(photo.shape)
    old = np.clip(old, 0, 255).round().astype(np.uint8)
    data = cv2.imencode(".jpg", old[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
    old = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    matched = match_tone(old, face, painted)[face].astype(float)
    shade = np.array(tint) / (np.array(tint) @ (0.299, 0.587, 0.114))
    light = matched @ (0.299, 0.587, 0.114)
    assert np.abs(matched - light[:, None] * shade).max() < 8


def test_no_tone_is_made_up_between_and_beyond_those_that_are_seen(unknown):
    """A dark photo in blue, the darker the paler, with a few white specks, and a bright face in its hole."""
    rng = np.random.default_rng(0)
    light = rng.integers(10, 80, (256, 256, 1))
    photo = (light + light / 80 * (-9, 0, 24)).astype(np.uint8)
    photo[rng.random((256, 256)) < 0.002] = 250
    painted = rng.integers(20, 250, (256, 256, 1), np.uint8).repeat(3, 2)

    def colours(picture):
        return cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)[..., 1:].reshape(-1, 2).astype(int)

    seen, matched = colours(photo), colours(match_tone(photo, unknown, painted))
    assert (matched[:, 1] > 128).all()
    assert (matched <= seen.max(0) + 1).all()
    assert (matched >= seen.min(0) - 1).all()


def test_only_grain_is_softened_and_hidden_pixels_have_no_say(unknown, photo):
    layout = np.ones((256, 256), np.uint8)
    plain = np.full_like(photo, 120)
    edge = photo.copy()
    edge[:, 200:] //= 3
    soft = soften(edge, plain, unknown, layout)
    residual = np.abs(edge.astype(int) - soft)[~unknown]
    assert 3 < residual.mean() < 20
    assert residual.max() < 3.5 * np.median(residual)  # the edge is no grain
    smooth = np.tile(np.linspace(0, 255, 256)[:, None, None], (1, 256, 3)).astype(np.uint8)
    assert np.abs(smooth.astype(int) - soften(smooth, plain, unknown, layout))[~unknown].max() <= 1
    hidden = np.where(unknown[..., None], 255 - edge, edge)
    np.testing.assert_array_equal(soften(hidden, plain, unknown, layout)[~unknown], soft[~unknown])


@pytest.mark.parametrize("noise", [1, 6, 20])
def test_the_hole_of_a_noisy_photo_gets_the_grain_that_it_lacks(unknown, noise):
    layout = np.ones((256, 256), np.uint8)
    rng = np.random.default_rng(0)
    photo = (120 + noise * rng.standard_normal((256, 256, 3))).round().astype(np.uint8)
    sources = pick_sources(np.ones((SIDE**2, SIDE**2)), EVEN, unknown, layout)
    square = FaceFrame.whole(256, 256)

    def grain(painted):
        soft = soften(photo, painted, unknown, layout)
        return carry_detail(photo, soft, painted, unknown, sources, square)[unknown].std() / noise

    assert 0.7 < grain(np.full_like(photo, 120)) < 1.1
    as_noisy = (120 + noise * rng.standard_normal((256, 256, 3))).round().astype(np.uint8)
    assert grain(as_noisy) == pytest.approx(as_noisy[unknown].std() / noise)
    # What is hidden stays as it is.
    less_noisy = (120 + noise / 2 * rng.standard_normal((256, 256, 3))).round().astype(np.uint8)
    np.testing.assert_array_equal(soften(photo, less_noisy, unknown, layout)[unknown], photo[unknown])


def test_a_kind_that_is_not_hidden_gives_no_grain(unknown, photo):
    layout = np.full((256, 256), CLASSES.index("skin"), np.uint8)
    layout[:30] = CLASSES.index("hat")
    assert not unknown[:30].any()
    soft = soften(photo, np.full_like(photo, 120), unknown, layout)
    np.testing.assert_array_equal(soft[:30], photo[:30])
    assert (soft != photo)[30:][~unknown[30:]].mean() > 0.5


def test_grain_is_not_amplified_without_limit():
    """What is seen is even here and equally strong there, so that a quartile tells of more than there is."""
    seen, none = np.zeros((2, 4096), int)
    seen[[0, 64]], none[0] = (240, 760), 100
    assert _grain_to_carry(seen, none) == (pytest.approx(4.2 * 64), 1.5)


def test_a_few_strong_lines_are_no_grain(unknown):
    """Half of the visible skin has folds; what is taken to be grain is what the other half has."""
    rng = np.random.default_rng(0)
    noise = 120 + 4 * rng.standard_normal((256, 256, 3))
    folds = noise + 40 * (np.arange(256) // 2 % 2)[:, None]
    layout = np.full((256, 256), CLASSES.index("skin"), np.uint8)
    left = np.arange(256)[:, None] < 128
    carried = []
    for picture in (noise, np.where(left, noise, folds)):
        photo = picture.round().astype(np.uint8)
        softened = soften(photo, EVEN, unknown, layout)
        carried.append(np.abs(photo.astype(int) - softened)[~unknown])
    assert carried[0].max() >= 4
    assert carried[1].max() <= 2 * carried[0].max()


def test_a_colour_photo_keeps_its_colours(unknown, photo):
    painted = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    assert match_tone(photo, unknown, painted) is painted


def test_grain_goes_on_inside_the_hole(unknown):
    """A 256-pixel face that is shown three times as large, beside the grain of the photo."""
    rng = np.random.default_rng(0)
    photo = (120 + 12 * rng.standard_normal((768, 768, 3))).round().astype(np.uint8)
    enlarged = np.full_like(photo, 120)
    hole = np.kron(unknown, np.ones((3, 3), bool))
    photo[hole] = 0  # must not be read
    sources = pick_sources(np.ones((SIDE**2, SIDE**2)), EVEN, unknown, np.zeros((256, 256), np.uint8))
    result = carry_detail(photo, enlarged, enlarged, hole, sources, FaceFrame.whole(768, 768))
    assert np.array_equal(result[~hole], enlarged[~hole])
    assert 10 < result[hole].std() < 14
    assert abs(result[hole].mean() - 120) < 1


def portrait(size, blur=0.0):
    """Bars and rings, as sharp as a picture of that size can be, or blurred by so many of 256 pixels."""
    y, x = (np.mgrid[: 4 * size, : 4 * size] + 0.5) * 64 / size
    bars = 90 + 70 * (x // 9 % 2) + 50 * (np.hypot(x - 128, y - 128) // 7 % 2)
    picture = cv2.resize(
        np.stack([bars, 0.8 * bars, 0.6 * bars], -1), (size, size), interpolation=cv2.INTER_AREA
    )
    if blur:
        picture = cv2.GaussianBlur(picture, (0, 0), blur * size / 256)
    return picture.round().astype(np.uint8)


@pytest.mark.parametrize("size", [384, 512])
def test_an_enlarged_face_gets_the_sharpness_that_the_photo_shows(unknown, size):
    layout = np.full((256, 256), CLASSES.index("skin"), np.uint8)
    restored, upsampled = portrait(256), portrait(512)
    plain = cv2.resize(restored, (size, size), interpolation=cv2.INTER_CUBIC)
    hidden = cv2.resize(unknown.astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST) > 0

    def error(picture):
        return np.abs(picture.astype(int) - portrait(size))[hidden].mean()

    sharp = enlarge(restored, upsampled, NO_GRAIN, portrait(size), hidden, layout)
    assert error(sharp) < 0.6 * error(plain)
    # What the hole hides has no say.
    other = np.where(hidden[..., None], np.uint8(0), portrait(size))
    np.testing.assert_array_equal(enlarge(restored, upsampled, NO_GRAIN, other, hidden, layout), sharp)


def test_an_enlarged_face_in_a_blurred_photo_gets_no_sharpness(unknown):
    layout = np.full((256, 256), CLASSES.index("skin"), np.uint8)
    photo = portrait(512, blur=1.5)
    hidden = np.kron(unknown, np.ones((2, 2), bool))
    restored = cv2.resize(photo, (256, 256), interpolation=cv2.INTER_AREA)

    def steepest(picture):
        return np.abs(np.diff(picture[220:300, 140:360, 0].astype(int))).max()

    upsampled = portrait(512)
    assert steepest(upsampled) > 2 * steepest(photo)
    assert steepest(enlarge(restored, upsampled, NO_GRAIN, photo, hidden, layout)) < 1.3 * steepest(photo)


def test_an_enlarged_face_in_a_grey_photo_is_grey(unknown):
    layout = np.full((256, 256), CLASSES.index("skin"), np.uint8)
    grey, small = portrait(512)[..., :1].repeat(3, 2), portrait(256)[..., :1].repeat(3, 2)
    hidden = np.kron(unknown, np.ones((2, 2), bool))
    tinted = np.clip(grey.astype(int) + [9, 0, -9], 0, 255).astype(np.uint8)
    assert np.ptp(enlarge(small, tinted, NO_GRAIN, grey, hidden, layout).astype(int), axis=2).max() <= 1


def test_a_face_of_which_nothing_is_seen_is_enlarged_as_the_network_has_it():
    layout = np.full((256, 256), CLASSES.index("skin"), np.uint8)
    everywhere = np.ones((512, 512), bool)
    upsampled = portrait(512)
    large = enlarge(portrait(256), upsampled, NO_GRAIN, np.zeros_like(upsampled), everywhere, layout)
    assert np.abs(large.astype(int) - upsampled).mean() < 3


def test_grain_is_enlarged_as_it_is_and_weaker(unknown):
    layout = np.full((256, 256), CLASSES.index("skin"), np.uint8)
    grain = 8 * np.random.default_rng(0).standard_normal((256, 256, 3))
    grain = np.where(unknown[..., None], grain, 0).round().astype(np.int16)
    everywhere = np.ones((512, 512), bool)
    face, plain = (np.full((512, 512, 3), value, np.uint8) for value in (0, 120))
    added = enlarge(EVEN, plain, grain, face, everywhere, layout).astype(int) - 120
    small = cv2.resize(added.astype(np.float32), (256, 256), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(small[unknown].ravel(), grain[unknown].ravel())[0, 1] > 0.95
    assert 0.3 < small[unknown].std() / grain[unknown].std() < 0.8
    assert not added[:180].any()


def test_an_edge_of_an_enlarged_face_gets_steeper_where_it_is_without_a_rim(unknown):
    layout = np.full((256, 256), CLASSES.index("skin"), np.uint8)
    restored = np.full((256, 256, 3), 60, np.uint8)
    restored[:, 128:] = 190
    plain = cv2.resize(restored, (512, 512), interpolation=cv2.INTER_CUBIC)
    hidden = np.kron(unknown, np.ones((2, 2), bool))
    step = np.where(np.arange(512)[None, :, None] < 256, 60, 190).astype(np.uint8).repeat(512, 0).repeat(3, 2)
    large = enlarge(restored, plain, NO_GRAIN, step, hidden, layout)
    before, after = (p[256, :, 0].astype(int) for p in (plain, large))
    assert np.diff(after).max() > 1.1 * np.diff(before).max()
    assert after.min() >= before.min() - 3
    assert after.max() <= before.max() + 3
    assert abs(np.abs(after - 125).argmin() - np.abs(before - 125).argmin()) <= 1


def test_grain_of_a_large_photo_is_carried_and_its_lines_are_not():
    """As `paste_back` does it, with a line where the grain comes from."""
    hole = np.zeros((512, 512), bool)
    hole[200:300, 200:300] = True
    layout = np.full((512, 512), CLASSES.index("skin"), np.uint8)
    rng = np.random.default_rng(0)
    even = np.full((512, 512, 3), 128, np.uint8)
    photo = np.rint(even + rng.normal(0, 4, even.shape)).astype(np.uint8)
    photo[100:200, 250:252] = 20
    sources = np.zeros((SIDE, SIDE, 2), int)
    sources[..., 1] = -50  # pixels of the aligned face, twice as large as the photo's
    frame = FaceFrame.whole(512, 512)
    scratched = carry_detail(photo, cv2.GaussianBlur(photo, (0, 0), 2), even, hole, sources, frame)
    soft = soften_enlarged(photo, even, hole, layout, 2)
    result = carry_detail(photo, soft, even, hole, sources, frame)
    assert np.abs(scratched[hole].astype(int) - 128).max() > 40
    assert np.abs(result[hole].astype(int) - 128).max() < 20
    assert 2.5 < result[hole].std() < 4.5
    # A hole with such grain of its own gets no more of it.
    lively = np.rint(even + rng.normal(0, 4, even.shape)).astype(np.uint8)
    soft = soften_enlarged(photo, lively, hole, layout, 2)
    np.testing.assert_array_equal(carry_detail(photo, soft, lively, hole, sources, frame), lively)


def test_what_the_hole_hides_has_no_say_in_what_grain_is(unknown, photo):
    layout = np.full((256, 256), CLASSES.index("skin"), np.uint8)
    painted = cv2.GaussianBlur(photo, (0, 0), 2)
    first = soften_enlarged(photo, painted, unknown, layout, 2)
    other = np.where(unknown[..., None], np.uint8(255), photo)
    second = soften_enlarged(other, painted, unknown, layout, 2)
    assert (first != photo)[~unknown].any()
    np.testing.assert_array_equal(first[~unknown], second[~unknown])


def test_a_step_in_brightness_at_the_edge_is_evened_out_and_far_inside_nothing_changes():
    photo = np.full((300, 300, 3), 140, np.uint8)
    hole = np.zeros((300, 300), bool)
    hole[60:240, 60:240] = True
    photo[hole] = 0  # must not be read
    painted = np.full_like(photo, 120)
    result = match_edge(photo, painted, hole, 1)
    assert abs(result[60:240, 60].astype(int) - 140).max() <= 4
    assert (result[150, 150] == 120).all()
    # It fades out, without a second edge.
    assert abs(np.diff(result[150, 60:240, 0].astype(int))).max() <= 6
    assert np.array_equal(match_edge(photo, np.full_like(photo, 140), hole, 1), np.full_like(photo, 140))
    # A face that is enlarged much is matched on a smaller picture.
    large = match_edge(photo, painted, hole, 9)
    assert abs(large[60:240, 60].astype(int) - 140).max() <= 6


def test_a_thing_beside_the_hole_is_not_smeared_into_it():
    """The end of a brow, which the networks paint elsewhere."""
    photo = np.full((256, 256, 3), 180, np.uint8)
    hole = np.zeros((256, 256), bool)
    hole[60:240, 60:240] = True
    painted = photo.copy()
    photo[100:108, 54:60] = 60
    offset = match_edge(photo, painted, hole, 1).astype(int)[..., 0] - 180
    assert offset[100:108, 60].max() < -10  # no step where it touches the hole
    assert offset[90:118, 68:].min() > -5
