"""Loss weights that follow gradient norms."""

from __future__ import annotations

import pytest

from imug_tts.training.weighting import LossWeights, WeightingSettings

START = {"labels": 1.0, "perception": 1.0, "planning": 1.0}
LOSSES = {"labels": 2.0, "perception": 0.01, "planning": 0.02}
FAST = WeightingSettings(learning_rate=0.05)


def weights(settings: WeightingSettings = FAST) -> LossWeights:
    return LossWeights(START, "labels", settings)


def test_weights_begin_as_given() -> None:
    given = {"labels": 1.0, "perception": 0.25, "planning": 200.0}
    assert LossWeights(given, "labels").now() == pytest.approx(given)


def test_a_loss_with_a_small_gradient_gains_and_one_with_a_large_gradient_loses() -> None:
    moved = weights()
    moved.update(LOSSES, {"labels": 1.0, "perception": 0.5, "planning": 3.0})
    now = moved.now()
    assert now["perception"] > 1 > now["planning"]


def test_the_sum_is_kept_and_shares_of_the_gradient_are_reached() -> None:
    moved, norms = weights(), {"labels": 1.0, "perception": 0.8, "planning": 1.25}
    for _ in range(400):
        moved.update(LOSSES, norms)
        assert sum(moved.now().values()) == pytest.approx(3, rel=1e-4)
    sizes = [moved.now()[name] * norms[name] for name in norms]
    assert sizes == pytest.approx([sum(sizes) / 3] * 3, rel=0.1)


def test_the_hard_labels_keep_their_least_weight() -> None:
    moved = weights()
    for _ in range(200):
        moved.update(LOSSES, {"labels": 100.0, "perception": 0.1, "planning": 0.1})
    assert moved.now()["labels"] >= 0.6 - 1e-6


def test_with_alpha_a_loss_that_has_fallen_less_is_given_more() -> None:
    moved = weights(WeightingSettings(learning_rate=0.05, alpha=1.0))
    norms = dict.fromkeys(START, 1.0)
    moved.update(LOSSES, norms)
    for _ in range(20):
        moved.update({"labels": 1.0, "perception": 0.01, "planning": 0.01}, norms)
    assert moved.now()["perception"] > moved.now()["planning"]


def test_losses_that_no_sample_had_keep_their_weight() -> None:
    moved = weights()
    moved.update({"labels": 2.0}, {"labels": 5.0})
    assert moved.now() == pytest.approx(START)
    moved.update({"labels": 2.0, "planning": 0.1}, {"labels": 5.0, "planning": 1.0})
    assert moved.now()["perception"] == pytest.approx(1)
    assert moved.now()["planning"] > 1


def test_gradients_of_zero_move_nothing() -> None:
    moved = weights()
    moved.update(LOSSES, dict.fromkeys(START, 0.0))
    assert moved.now() == pytest.approx(START)


def test_restored_weights_take_the_same_next_steps() -> None:
    norms = {"labels": 1.0, "perception": 0.5, "planning": 3.0}
    settings = WeightingSettings(alpha=0.5)
    whole, before = weights(settings), weights(settings)
    for one in (whole, before):
        one.update(LOSSES, norms)
    after = weights(settings)
    after.restore(before.state())
    for one in (whole, after):
        one.update(dict.fromkeys(START, 0.5), norms)
    assert after.now() == whole.now()


def test_a_state_of_other_losses_is_refused() -> None:
    other = LossWeights({"labels": 1.0, "reasoning": 1.0}, "labels")
    with pytest.raises(ValueError, match="has weights of labels, reasoning, but the losses are labels, p"):
        weights().restore(other.state())


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="learning_rate is 0; it must be greater than 0"):
        WeightingSettings(learning_rate=0)
    with pytest.raises(ValueError, match="alpha is -1; it must be 0 or more"):
        WeightingSettings(alpha=-1)
    with pytest.raises(ValueError, match="weight of labels is 0; it must be greater than 0"):
        LossWeights({"labels": 0}, "labels")
    with pytest.raises(ValueError, match="the anchor 'ce' has no weight; weights are of labels"):
        LossWeights(START, "ce")
