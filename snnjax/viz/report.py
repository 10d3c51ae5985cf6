"""One page about a run: its numbers, its energy compared with the ANN twin's, its pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from snnjax.metrics import LayerRate, rate_alarms
from snnjax.viz import html
from snnjax.viz.curves import learning_curves
from snnjax.viz.rates import firing_rate_bars
from snnjax.viz.style import require_matplotlib, save_figure

PICTURES = "pictures"


class Picture(NamedTuple):
    """A figure of the report.

    Attributes:
      name: file name without suffix. caption: its caption. figure: a matplotlib figure.
    """

    name: str
    caption: str
    figure: Any


class Table(NamedTuple):
    """A table of the report: its title, its columns and its rows of text."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def write_report(
    run_folder: str | Path,
    summary: Mapping[str, Any],
    metrics_rows: Sequence[Mapping[str, Any]],
    shown: Sequence[Picture | Table],
    rates: Sequence[LayerRate],
    *,
    score: str = "accuracy",
    alarms: Sequence[str] | None = None,
    notes: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
) -> Path:
    """Draw the pictures of a run and write `report.html`, a single file that holds them all.

    Args:
      run_folder: holds `pictures/` and `report.html` afterwards.
      summary: the run's numbers, the most important one first; `parameters`, `firing_rate`,
        `synops`, `energy_mj`, `ann_energy_mj`, `seconds` and `compiles` are shown as cards.
      metrics_rows: rows of `metrics.jsonl`, see `learning_curves`.
      shown: further pictures and tables, in order.
      rates: firing rates by layer; empty for a network without spikes.
      score: the number of the rows that is drawn with the loss.
      alarms: sentences about the rates; None has one for each layer in alarm.
      notes: notes about the curves.
      config: the experiment; None reads `config.json` of the run folder if it is there.

    Returns:
      The path of the page.
    """
    require_matplotlib()
    folder = Path(run_folder)
    config = _read_config(folder) if config is None else config
    alarms = rate_alarms(rates) if alarms is None else alarms
    pictures: list[Picture | Table] = []
    if metrics_rows:
        curves = learning_curves(metrics_rows, score=score)
        caption = " ".join(["Learning curves.", *notes])
        pictures.append(Picture("learning_curves", caption, curves))
    pictures += shown
    if rates:
        bars = firing_rate_bars(rates)
        pictures.append(Picture("firing_rates", "Firing rate of every layer's input", bars))
    parts = [html.headline(summary), html.section("Energy", html.energy_bars(summary))]
    for part in pictures:
        if isinstance(part, Table):
            parts.append(html.section(part.title, html.table(part.head, part.rows)))
            continue
        path = save_figure(part.figure, folder / PICTURES / f"{part.name}.png")
        parts.append(html.picture(Path(path).read_bytes(), part.caption))
    parts += [
        html.section("Firing rates", html.rates_table(rates, alarms)),
        html.section("All numbers", html.table(("name", "value"), html.summary_rows(summary))),
        html.folded("Configuration", json.dumps(config, indent=2)) if config else "",
    ]
    page = html.page(f"snnjax run: {folder.name}", "\n".join(part for part in parts if part))
    path = folder / "report.html"
    partial = folder / f".report.html.{os.getpid()}.part"
    partial.write_text(page, encoding="utf-8")
    os.replace(partial, path)
    return path


def _read_config(folder: Path) -> Mapping[str, Any] | None:
    path = folder / "config.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
