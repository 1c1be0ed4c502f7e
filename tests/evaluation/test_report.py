import math

import numpy as np
import pytest

from faceinpaint.evaluation.report import (
    bootstrap,
    interval,
    markdown_table,
    mean_and_half_width,
    picture_sheet,
    without_infinity,
)


def test_the_bootstrap_of_a_mean_agrees_with_its_interval():
    values = np.random.default_rng(0).normal(3, 2, 400)
    plain, drawn = mean_and_half_width(values), bootstrap(values, np.mean)
    assert drawn["mean"] == pytest.approx(plain["mean"])
    assert drawn["half_width"] == pytest.approx(plain["half_width"], rel=0.1)


def test_spread_that_cannot_be_known():
    assert (
        mean_and_half_width([2.0]) == bootstrap(np.ones(1), lambda x: 2.0) == {"mean": 2, "half_width": None}
    )
    assert mean_and_half_width([]) == bootstrap(np.ones(0), np.mean) == {"mean": None, "half_width": None}


def test_figures_as_text():
    assert interval({"mean": 0.12345, "half_width": 0.01}, 3) == "0.123 ± 0.010"
    assert interval({"mean": math.inf, "half_width": None}, 3) == "∞"
    assert interval({"mean": None, "half_width": None}, 3) == "–"
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_a_sheet_has_a_row_for_each_and_a_column_for_each_title():
    row = {"one": np.full((30, 40, 3), 10, np.uint8), "two": np.full((30, 40, 3), 200, np.uint8)}
    sheet = np.asarray(picture_sheet([row, row]))
    assert sheet.shape == (24 + 60, 80, 3)
    assert (sheet[24:, :40] == 10).all() and (sheet[24:, 40:] == 200).all()


def test_infinity_is_null_in_json():
    assert without_infinity({"a": [{"mean": math.inf, "n": 3}]}) == {"a": [{"mean": None, "n": 3}]}
