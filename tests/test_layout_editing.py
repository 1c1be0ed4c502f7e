import cv2
import numpy as np
import pytest

from faceinpaint.alignment import FaceFrame
from faceinpaint.layout_editing import EDITS, cut_hair, edit_layout, fill_region, widen_hole
from faceinpaint.semantics import CLASSES

ID = {name: index for index, name in enumerate(CLASSES)}


@pytest.fixture
def layout():
    """A plain face: hair around skin, eyes, brows, nose, closed lips, neck and clothes."""
    face = np.zeros((256, 256), np.uint8)
    for name, box in {
        "hair": np.s_[20:150, 40:216],
        "neck": np.s_[200:256, 90:166],
        "cloth": np.s_[236:256, 20:236],
        "skin": np.s_[70:225, 66:190],
        "right eye": np.s_[118:126, 86:108],
        "left eye": np.s_[118:126, 148:170],
        "right brow": np.s_[102:108, 80:112],
        "left brow": np.s_[102:108, 144:176],
        "nose": np.s_[125:168, 112:144],
        "upper lip": np.s_[184:190, 104:152],
        "lower lip": np.s_[190:198, 104:152],
    }.items():
        face[box] = ID[name]
    return face


def area(layout, *names):
    return np.isin(layout, [ID[name] for name in names])


@pytest.mark.parametrize("name", EDITS)
def test_edits_give_layouts_and_leave_the_given_one_alone(layout, name):
    before = layout.copy()
    edited = EDITS[name](layout)
    assert edited.shape == (256, 256) and edited.dtype == np.uint8 and edited.max() < len(CLASSES)
    np.testing.assert_array_equal(layout, before)


def test_shorter_hair_ends_beside_the_lips_closed_too(layout):
    layout[150:250, 40:62] = ID["hair"]
    high = layout.copy()
    high[184:198, 104:152] = ID["skin"]
    high[164:170, 104:152], high[170:178, 104:152] = ID["upper lip"], ID["lower lip"]
    ends = [
        np.flatnonzero(area(EDITS["Shorter hair"](face), "hair")[:, :66].any(1)).max()
        for face in (high, layout)
    ]
    assert 10 < ends[1] - ends[0] < 40


def test_glasses_that_are_worn_are_kept(layout):
    once = EDITS["Glasses on"](layout)
    assert area(once, "eyeglasses").any()
    worn = np.roll(once, 4, 0)
    np.testing.assert_array_equal(EDITS["Glasses on"](worn), worn)


@pytest.mark.parametrize("name", EDITS)
def test_edits_bear_an_empty_layout(name):
    assert EDITS[name](np.zeros((256, 256), np.uint8)).shape == (256, 256)


def test_smile_opens_and_widens_the_mouth_and_closing_it_undoes_that(layout):
    smiling = EDITS["Smile"](layout)
    mouth = area(smiling, "mouth", "upper lip", "lower lip")
    columns = np.flatnonzero(mouth.any(0))
    assert area(smiling, "mouth").sum() > 150 and np.ptp(columns) > 48
    # The corners rise above the middle.
    assert np.flatnonzero(mouth[:, columns[1]]).mean() < np.flatnonzero(mouth[:, 127]).mean() - 3
    outside = ~(mouth | area(layout, "upper lip", "lower lip"))
    np.testing.assert_array_equal(smiling[outside], layout[outside])
    # Pursed lips do not stay narrow.
    layout[184:198, :118] = layout[184:198, 138:] = ID["skin"]
    pursed = area(EDITS["Smile"](layout), "mouth", "upper lip", "lower lip")
    assert np.ptp(np.flatnonzero(pursed.any(0))) > 0.8 * 62
    closed = EDITS["Close the mouth"](smiling)
    assert not area(closed, "mouth").any() and area(closed, "upper lip").sum() > 50


def test_a_mouth_that_is_edited_again_and_again_stays_where_it_is(layout):
    def middle(edited):
        return np.mean(np.nonzero(area(edited, "mouth", "upper lip", "lower lip")), axis=1)

    smile, close = EDITS["Smile"], EDITS["Close the mouth"]
    for edit in (smile, close):
        once = edit(layout)
        np.testing.assert_array_equal(edit(once), once)
    # The second smile may still be a wider one.
    edited = second = smile(close(smile(layout)))
    for _ in range(4):
        edited = smile(close(edited))
    np.testing.assert_allclose(middle(edited), middle(second), atol=0.5)


def test_glasses_go_about_the_eyes_and_come_off_again(layout):
    wearing = EDITS["Glasses on"](layout)
    eyes = area(layout, "left eye", "right eye")
    # Label maps of people with glasses have their eyes, too: without, nothing shows through the lenses.
    np.testing.assert_array_equal(wearing[eyes], layout[eyes])
    around = (cv2.dilate(eyes.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0) & ~eyes
    assert area(wearing, "eyeglasses")[around].all()
    # Their temples go to where the hair begins.
    assert area(wearing, "eyeglasses")[121:123, [66, 70, 185, 189]].all()
    assert not area(wearing, "eyeglasses")[:, :66].any()
    profile = layout.copy()
    profile[:, :100] = ID["background"]
    assert not area(EDITS["Glasses on"](profile), "eyeglasses")[:, :100].any()
    bare = EDITS["Glasses off"](wearing)
    assert not area(bare, "eyeglasses").any()
    for name in ("left eye", "right eye"):
        assert area(bare, name).sum() > 60
    # What the frame left of an eye is a slit.
    wearing[eyes] = ID["eyeglasses"]
    wearing[120:122, 88:106] = ID["right eye"]
    for name in ("left eye", "right eye"):
        assert area(EDITS["Glasses off"](wearing), name).sum() > 150


@pytest.mark.parametrize(("on", "off"), [("Glasses on", "Glasses off"), ("Longer hair", "Shorter hair")])
def test_what_was_put_on_comes_off_first(layout, on, off):
    changed = edit_layout(on, layout, layout)
    assert (changed != layout).any()
    np.testing.assert_array_equal(edit_layout(off, changed, layout), layout)
    # Then what was there before does.
    np.testing.assert_array_equal(edit_layout(off, layout, layout), EDITS[off](layout))


def test_a_brow_that_glasses_cut_becomes_the_mirror_image_of_the_other(layout):
    layout[98:103, 150:160] = ID["left brow"]
    wearing = EDITS["Glasses on"](layout)
    wearing[100:112, 84:112] = ID["eyeglasses"]
    bare = EDITS["Glasses off"](wearing)
    left, right = (area(bare, name) for name in ("left brow", "right brow"))
    np.testing.assert_array_equal(left, area(layout, "left brow"))
    # The eyes' middle is at 127.5; what was left of the old one stays.
    assert right[left[:, ::-1]].all() and right.sum() <= left.sum() + 24
    np.testing.assert_array_equal(area(bare, "left eye"), area(layout, "left eye"))


def test_hair_grows_around_the_face_and_is_cut(layout):
    longer, shorter = EDITS["Longer hair"](layout), EDITS["Shorter hair"](layout)
    assert area(longer, "hair")[190, [50, 205]].all() and not area(layout, "hair")[190].any()
    features = area(layout, "skin", "nose", "left eye", "right eye", "upper lip", "lower lip")
    np.testing.assert_array_equal(longer[features], layout[features])
    assert area(shorter, "hair").sum() < 0.9 * area(layout, "hair").sum()
    np.testing.assert_array_equal(shorter[features], layout[features])


def test_long_hair_is_cut_round_and_not_along_the_picture_that_it_leaves(layout):
    layout[area(layout, "background")] = ID["hair"]
    layout[:, 250:] = ID["background"]
    hair = area(EDITS["Shorter hair"](layout), "hair")
    assert hair[0, 128] and hair[150, 60]
    assert not hair[200].any() and not hair[122, :10].any()
    # No step at the eyes: the oval is nowhere wider than there.
    widths = [np.ptp(np.flatnonzero(row)) for row in hair[:170]]
    assert abs(widths[115] - widths[130]) < 12 and widths[20] < widths[100]


def test_filling_a_region_that_is_not_there_is_refused(layout):
    assert (fill_region(layout, ID["hair"], ID["hat"]) == ID["hat"]).sum() == area(layout, "hair").sum()
    with pytest.raises(ValueError, match="There is no hat in the layout"):
        fill_region(layout, ID["hat"], ID["hair"])


def test_the_hole_grows_just_where_the_layout_changed_outside_of_it(layout):
    frame = FaceFrame.square(199.5, 149.5, 128)  # half as large in the photo, its corner at (136, 86)
    mask = np.zeros((300, 400), bool)
    mask[100:120, 150:180] = True
    edited = layout.copy()
    edited[32:60, 32:80] = ID["hat"]  # in the hole
    assert widen_hole(mask, layout, edited, frame) is mask
    edited[200:220, 100:140] = ID["hat"]
    widened = widen_hole(mask, layout, edited, frame)
    assert widened[mask].all() and widened[186:196, 186:206].all()
    assert np.count_nonzero(widened & ~mask) < 1.7 * 10 * 20


def test_of_another_mouth_nothing_is_kept_but_of_one_that_is_touched_up_all_else(layout):
    frame = FaceFrame.whole(256, 256)
    nothing = np.zeros((256, 256), bool)
    layout[188:196, 104:152] = ID["mouth"]
    mouth = area(layout, "mouth", "upper lip", "lower lip")
    assert widen_hole(nothing, layout, EDITS["Close the mouth"](layout), frame)[mouth].all()
    touched = layout.copy()
    touched[182:184, 104:152] = ID["upper lip"]
    assert not widen_hole(nothing, layout, touched, frame)[190:198].any()


def test_behind_new_glasses_the_eyes_stay(layout):
    frame = FaceFrame.whole(256, 256)
    nothing = np.zeros((256, 256), bool)
    wearing = EDITS["Glasses on"](layout)
    hole = widen_hole(nothing, layout, wearing, frame)
    assert not hole[118:126, 90:104].any() and not hole[118:126, 152:166].any()
    # The rims are painted, with their shadows, and the bridge.
    assert hole[122, 72:80].all() and hole[122, 118:138].all() and hole[122, 176:184].all()
    # Glasses that go take all of what was behind them along.
    bare = EDITS["Glasses off"](wearing)
    assert widen_hole(nothing, wearing, bare, frame)[area(wearing, "eyeglasses")].all()


def test_where_hair_goes_the_hole_reaches_further_for_its_strands(layout):
    frame = FaceFrame.whole(256, 256)
    nothing = np.zeros((256, 256), bool)
    bald, hairy = layout.copy(), layout.copy()
    bald[area(layout, "hair")] = ID["background"]
    hairy[area(layout, "background") & (np.arange(256) < 40)] = ID["hair"]
    assert widen_hole(nothing, layout, bald, frame)[100, 34]
    assert not widen_hole(nothing, layout, hairy, frame)[100, 44]


def test_only_hair_that_leaves_the_picture_counts_as_cut_off(layout):
    layout[200:230, 60:80] = layout[226:, 180:200] = ID["hair"]
    bald = np.where(area(layout, "hair"), np.uint8(ID["background"]), layout)
    cut = cut_hair(layout, bald)
    assert cut[226:, 180:200].all() and not cut[200:, :100].any()
    assert not cut_hair(bald, layout).any() and not cut_hair(layout, layout).any()
