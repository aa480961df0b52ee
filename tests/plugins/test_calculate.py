"""Sums as people write them."""

import pytest

from plugins.api import ToolFailure
from plugins.calculate import calculate


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("17 * 23", 391),
        ("15% of 240", 36),
        ("2^10", 1024),
        ("0.1 + 0.2", 0.3),
        ("(1,200 - 200) / 4", 250),
        ("12 × 12", 144),
        ("100 divided by 8", 12.5),
        ("sqrt(144)", 12),
        ("10 - -3", 13),
        ("17 % 5", 2),
        ("200 + 10%", 200.1),
        ("round(2.567, 1)", 2.6),
        ("2**100", 2**100),
    ],
)
def test_a_sum_has_its_exact_value(said, value):
    assert calculate(said).value == value


def test_the_answer_repeats_the_sum_with_readable_digits():
    assert calculate("1234 * 1000").text == "1234 * 1000 = 1,234,000"
    assert calculate("1 / 3").text == "1 / 3 = 0.3333333333"


@pytest.mark.parametrize("said", ["1/0", "9**9**9**9", "10**99999", "(" * 300, "__import__('os')", "1 +", "sqrt(-1)"])
def test_what_is_no_sum_is_said_and_never_run(said):
    with pytest.raises(ToolFailure):
        calculate(said)
