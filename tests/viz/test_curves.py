"""Learning curves show the numbers of the rows."""

from __future__ import annotations

import numpy as np
import pytest

from snnjax.viz import learning_curves


def _lines(ax) -> dict:
    return {
        line.get_label(): np.asarray(line.get_data(), float)
        for line in ax.get_lines()
        if not line.get_label().startswith("_")
    }


def test_every_recorded_quantity_has_its_panel_and_its_numbers():
    rows = [{"step": s, "loss": 1 / (s + 1), "learning_rate": 0.1} for s in range(5)]
    rows += [{"step": 4, "split": "test", "loss": 0.5, "accuracy": 0.75, "flag": True}]
    figure = learning_curves(rows)
    assert [ax.get_title("left") for ax in figure.axes] == ["Loss", "Accuracy", "Learning rate"]
    loss = _lines(figure.axes[0])
    np.testing.assert_allclose(loss["loss"], [range(5), [1 / (s + 1) for s in range(5)]])
    np.testing.assert_allclose(loss["test loss"], [[4], [0.5]])
    assert list(_lines(figure.axes[1])) == ["test accuracy (best 0.750)"]


def test_long_curves_carry_their_running_mean_and_gaps_stay_gaps():
    rng = np.random.default_rng(0)
    y = rng.normal(size=120)
    y[50:60] = np.nan
    rows = [{"step": i, "loss": v} for i, v in enumerate(y.tolist())]
    rows[55]["loss"] = None  # as a JSON file holds it
    figure = learning_curves(rows)
    mean = _lines(figure.axes[0])["loss (10 not finite)"][1]
    assert np.isnan(mean[52:57]).all()
    for i in range(3, 45):  # width 120 // 30 = 4: two before, itself, one after
        assert mean[i] == pytest.approx(y[i - 2 : i + 2].mean())


def test_epochs_serve_where_no_row_has_a_step():
    figure = learning_curves([{"epoch": 2, "test_accuracy": 0.5}])
    assert figure.axes[0].get_xlabel() == "epoch"


@pytest.mark.parametrize("rows", [[], [{"step": 1, "note": "x"}], [{"loss": 1.0}]])
def test_rows_without_a_curve_are_an_error(rows):
    with pytest.raises(ValueError, match="no row has a number"):
        learning_curves(rows)


def test_a_warm_up_is_drawn_as_it_is():
    """A learning rate has no noise; its running mean would show another warm-up."""
    rows = [{"step": i, "learning_rate": min(i / 50, 1.0), "loss": 1.0} for i in range(200)]
    loss, rate = learning_curves(rows).axes
    np.testing.assert_array_equal(
        _lines(rate)["learning rate"][1], [r["learning_rate"] for r in rows]
    )
    assert len(rate.get_lines()) == 1
    assert len(loss.get_lines()) == 2


def test_the_score_of_another_task_has_its_panel():
    rows = [{"step": 1, "split": "test", "loss": 1.0, "miou": 0.5}]
    figure = learning_curves(rows, score="miou")
    assert [ax.get_title("left") for ax in figure.axes] == ["Loss", "Miou"]
