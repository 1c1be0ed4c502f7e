import numpy as np
import pytest
import torch

from faceinpaint.layout_decoding import layout_around, likeliest_layout, without_islands
from faceinpaint.semantics import CLASSES, NUM_CLASSES


class TestLikeliestLayout:
    SKIN, GLASSES, HAT = (CLASSES.index(name) for name in ("skin", "eyeglasses", "hat"))

    @pytest.fixture
    def mask(self):
        mask = torch.zeros(2, 1, 256, 256)
        mask[:, :, 100:150] = 1
        return mask

    @pytest.fixture
    def logits(self):
        """Skin everywhere, and rather glasses where the eyes are hidden."""
        logits = torch.zeros(2, NUM_CLASSES, 256, 256)
        logits[:, self.SKIN] = 1
        logits[:, self.GLASSES, 110:140, 60:190] = 2
        return logits

    def test_glasses_of_which_nothing_is_seen_are_not_made_up(self, logits, mask):
        assert (likeliest_layout(logits, mask) == self.SKIN).all()

    def test_glasses_that_show_beside_the_hole_go_on_in_it_on_that_face_alone(self, logits, mask):
        logits[0, self.GLASSES, 96:100, 60:70] = 2
        layout = likeliest_layout(logits, mask)
        assert (layout[0, 110:140, 60:190] == self.GLASSES).all()
        assert (layout[1] == self.SKIN).all()

    def test_glasses_that_would_have_one_lens_are_not_made_up(self, logits, mask):
        logits[:, self.GLASSES, 110:140, 128:] = 0
        logits[:, self.GLASSES, 96:100, 60:70] = 2
        layout = likeliest_layout(logits, mask)
        assert (layout[:, 100:150] == self.SKIN).all()
        assert (layout[:, 96:100, 60:70] == self.GLASSES).all()

    def test_one_worn_thing_is_no_sign_of_another(self, logits, mask):
        logits[:, self.HAT, :40] = 3
        layout = likeliest_layout(logits, mask)
        assert (layout[:, :40] == self.HAT).all() and (layout[:, 40:] == self.SKIN).all()

    def test_what_is_seen_stays(self, logits):
        assert torch.equal(likeliest_layout(logits, torch.zeros(2, 1, 256, 256)), logits.argmax(1))


class TestHiddenMouths:
    SKIN, INSIDE, LIPS = (CLASSES.index(name) for name in ("skin", "mouth", "lower lip"))

    def logits(self, inside):
        """Skin, but a mouth in a box: lips, and logits of what is inside it."""
        logits = torch.full((1, NUM_CLASSES, 256, 256), -9.0)
        logits[:, self.SKIN] = 3
        # No two pixels alike: as many of them are drawn as lips mostly have.
        logits[:, self.LIPS, 182:198, 105:145] = 5 - 1e-4 * torch.arange(640.0).view(16, 40)
        logits[:, self.INSIDE, 186:194, 110:140] = inside
        return logits

    @pytest.fixture
    def mask(self):
        mask = torch.zeros(1, 1, 256, 256)
        mask[:, :, 150:220, 80:180] = 1
        return mask

    def test_one_that_is_surely_open_is(self, mask):
        layout = likeliest_layout(self.logits(6.0), mask)[0]
        assert (layout[186:194, 110:140] == self.INSIDE).all()

    def test_one_in_doubt_is_closed_rather_than_half_open(self, mask):
        layout = likeliest_layout(self.logits(4.9), mask)[0]
        assert not (layout == self.INSIDE).any() and (layout[186:194, 110:140] == self.LIPS).any()

    def test_one_that_is_seen_to_be_open_stays_open_in_the_hole(self, mask):
        logits = self.logits(4.9)
        logits[:, self.INSIDE, 186:194, 110:114] = 6
        mask[..., 110:114] = 0
        layout = likeliest_layout(logits, mask)[0]
        assert (layout[:, 114:] == self.INSIDE).any()


class TestSmallPartsOfHiddenFaces:
    EYE, SKIN = CLASSES.index("left eye"), CLASSES.index("skin")

    @pytest.fixture
    def logits(self):
        """Skin everywhere, but that in a corner an eye is nearly as likely, most so at its top."""
        logits = torch.full((1, NUM_CLASSES, 64, 64), -9.0)
        logits[:, self.SKIN] = 3
        logits[:, self.EYE, :8, :8] = 2 - 0.001 * torch.arange(64.0).view(8, 8)
        return logits

    def drawn(self, logits):
        return likeliest_layout(logits, torch.ones(1, 1, 64, 64))[0] == self.EYE

    def test_an_eye_of_which_nothing_is_sure_but_that_it_is_there_is_drawn(self, logits):
        eye = self.drawn(logits)
        # As many pixels as their probabilities promise.
        assert abs(eye.sum() - logits.softmax(1)[0, self.EYE].sum()) < 1.5
        assert eye[:2, :8].all()

    def test_one_that_is_less_likely_is_as_large_as_they_mostly_are(self, logits):
        logits[:, self.EYE] -= 1
        assert abs(self.drawn(logits).sum() - 150 / 16) < 1.5

    def test_one_of_which_nobody_knows_how_large_it_is_does_not_take_all_that_it_may(self, logits):
        logits[:, self.SKIN, :8, :8] = 1.7
        assert (logits.argmax(1) == self.EYE).sum() == 64
        assert abs(self.drawn(logits).sum() - logits.softmax(1)[0, self.EYE].sum()) < 1.5

    def test_a_small_hole_is_drawn_as_it_is_likeliest(self, logits):
        mask = torch.zeros(1, 1, 64, 64)
        mask[..., :16, :16] = 1
        assert (likeliest_layout(logits, mask) == self.SKIN).all()

    def test_what_is_seen_is_read_as_it_is_likeliest(self, logits):
        mask = torch.ones(1, 1, 64, 64)
        mask[..., :8, :8] = 0
        assert (likeliest_layout(logits, mask) == self.SKIN).all()


class TestWithoutIslands:
    SKIN, HAIR = CLASSES.index("skin"), CLASSES.index("hair")
    HAT, EARRING, EYE = (CLASSES.index(name) for name in ("hat", "earring", "left eye"))

    @pytest.fixture
    def layout(self):
        """Hair from the top down to row 8, skin below it."""
        layout = np.full((40, 40), self.SKIN, np.uint8)
        layout[:8] = self.HAIR
        return layout

    @pytest.fixture
    def hole(self):
        hole = np.zeros((40, 40), bool)
        hole[4:30, 4:30] = True
        return hole

    def test_a_tuft_on_the_hidden_forehead_becomes_skin(self, layout, hole):
        tufted = layout.copy()
        tufted[12:16, 10:20] = self.HAIR
        assert np.array_equal(without_islands(tufted, hole), layout)
        assert (tufted[12:16, 10:20] == self.HAIR).all()  # its own argument stays as it was

    def test_a_piece_of_hat_in_hidden_hair_becomes_hair(self, layout, hole):
        layout[:20] = self.HAIR
        layout[:3] = self.HAT  # this one is seen
        speckled = layout.copy()
        speckled[8:14, 10:20] = self.HAT
        speckled[10:12, 12:14] = self.EARRING  # within it: what holds both is hair
        assert np.array_equal(without_islands(speckled, hole), layout)

    def test_an_earring_half_of_which_is_seen_stays(self, layout, hole):
        layout[26:34, 10:12] = self.EARRING
        assert np.array_equal(without_islands(layout, hole), layout)

    def test_hair_that_is_seen_or_hangs_together_with_it_stays(self, layout, hole):
        layout[12:16, 25:35] = self.HAIR  # out of the hole's right edge
        layout[8:20, 6:8] = self.HAIR  # a strand from the top
        layout[34:36, 10:20] = self.HAIR  # below the hole
        assert np.array_equal(without_islands(layout, hole), layout)

    def test_the_only_hair_stays_though_all_of_it_is_guessed(self, layout):
        layout[20:22, 20:22] = self.HAIR
        guessed = without_islands(layout, np.ones((40, 40), bool))
        assert (guessed[:8] == self.HAIR).all()
        assert (guessed[8:] == self.SKIN).all()

    def test_a_fleck_beside_the_eye_goes_and_the_eye_stays(self, layout, hole):
        layout[16:20, 10:20] = self.EYE
        flecked = layout.copy()
        flecked[23:25, 14:16] = self.EYE
        assert np.array_equal(without_islands(flecked, hole), layout)


def test_outside_the_face_there_are_no_further_faces_and_no_hair_by_itself():
    names = {name: CLASSES.index(name) for name in ("skin", "nose", "hair", "cloth", "background")}
    face = np.full((64, 64), names["skin"], np.uint8)
    face[:, :8] = names["hair"]
    inside = np.zeros((64, 64), bool)
    inside[:32] = True
    hole = np.zeros((64, 64), bool)
    hole[20:56] = True
    logits = np.zeros((len(CLASSES), 64, 64), np.float32)
    logits[names["nose"]] = 9  # Stage 1 would have a nose everywhere
    logits[names["cloth"]] = 5
    logits[names["hair"], :, :8] = 7
    logits[names["hair"], 40:48, 30:38] = 7
    layout = layout_around(logits, hole, face, inside)
    assert np.array_equal(layout[:32], face[:32])
    assert (layout[32:56, :8] == names["hair"]).all() and (layout[32:56, 8:] == names["cloth"]).all()
    # What is seen is what Stage 1 takes it for.
    assert (layout[56:] == names["nose"]).all()
