"""The recorded choice of an arithmetic: a function of shapes, kept as JSON."""

from __future__ import annotations

import pytest

from snnjax.sparse import ArithmeticRule, ArithmeticTable, ProductRule
from snnjax.sparse.arithmetic import check_arithmetic

RULES = (
    ArithmeticRule("cpu", 1000, 0.5),
    ArithmeticRule("cpu", 100, 0.1),
    ArithmeticRule("gpu", 0, 1.0),
)


@pytest.mark.parametrize(
    ("rows", "occupancy", "backend", "want"),
    [
        (99, 0.01, "cpu", "table"),  # no rule for so few rows
        (100, 0.05, "cpu", "pairs"),
        (999, 0.1, "cpu", "table"),  # strictly below
        (1000, 0.4, "cpu", "pairs"),
        (10**6, 0.5, "cpu", "table"),
        (1, 0.9, "gpu", "pairs"),
        (10**6, 0.0, "tpu", "table"),
    ],
)
def test_the_largest_rule_below_the_rows_decides(rows, occupancy, backend, want):
    table = ArithmeticTable(RULES)
    assert table.choose(rows, 27, occupancy, backend) == want
    assert ArithmeticTable(RULES[::-1]).choose(rows, 27, occupancy, backend) == want


def test_a_pointwise_kernel_has_no_pairs():
    assert ArithmeticTable(RULES).choose(10**6, 1, 0.0, "gpu") == "table"


def test_the_defaults_compact_surfaces_on_a_cpu_only():
    table = ArithmeticTable()
    assert table.choose(30_000, 27, backend="cpu") == "pairs"
    assert table.choose(30_000, 27, 1.0, "cpu") == "pairs"
    assert table.choose(16, 27, backend="cpu") == "table"
    assert table.choose(30_000, 27, backend="gpu") == "table"
    assert table.choose(30_000, 27) == table.choose(30_000, 27, backend="cpu")  # the backend here


def test_events_have_a_limit_by_weights_and_rows_on_a_cpu_only():
    products = [(10, 1, 0.5), (10, 9, 0.1), (99, 9, 0.3)]
    table = ArithmeticTable(products=tuple(ProductRule("cpu", *rule) for rule in products))
    for rows, weights, want in ((0, 99, 0), (1, 9, 0), (8, 99, 0.5), (9, 98, 0.1), (9, 99, 0.3)):
        assert table.events_below(rows, weights, "cpu") == want
    assert table.events_below(9, 99, "gpu") == ArithmeticTable().events_below(9, 2**30, "gpu") == 0
    defaults = [ArithmeticTable().events_below(rows, 2**23, "cpu") for rows in (1, 8, 64)]
    assert defaults == sorted(defaults, reverse=True)
    assert defaults[-1] > 0 == ArithmeticTable().events_below(1, 100, "cpu")


def test_a_table_survives_its_file(tmp_path):
    table = ArithmeticTable(RULES, (ProductRule("cpu", 4, 3, 0.25),))
    assert ArithmeticTable.from_json(table.to_json()) == table
    (tmp_path / "table.json").write_text(table.to_json())
    assert ArithmeticTable.read(tmp_path / "table.json") == table
    assert hash(table) == hash(ArithmeticTable(table.rules, table.products))


def test_an_unknown_arithmetic_is_refused():
    assert [check_arithmetic(a) for a in ("pairs", "table", None)] == ["pairs", "table", None]
    with pytest.raises(ValueError, match="pairs, table; got 'Pairs'"):
        check_arithmetic("Pairs")
