"""One page about a run: its numbers, its energy beside the ANN twin's, and its pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snnjax.metrics import LayerRate, rate_alarms
from snnjax.viz import html
from snnjax.viz.cloud import CloudLevel, voxel_cloud
from snnjax.viz.confusion import confusion_figure, worst_confusions
from snnjax.viz.curves import learning_curves
from snnjax.viz.rates import firing_rate_bars
from snnjax.viz.style import require_matplotlib, save_figure

PICTURES = "pictures"
_CAPTIONS = {
    "learning_curves": "Learning curves",
    "confusion": "Confusion matrix on the test split",
    "firing_rates": "Firing rate of every layer's input",
    "voxel_cloud": "A test sample as voxels, and the spikes it causes",
}


def write_report(
    run_folder: str | Path,
    summary: Mapping[str, Any],
    metrics_rows: Sequence[Mapping[str, Any]],
    confusion: np.ndarray,
    class_names: Sequence[str],
    rates: Sequence[LayerRate],
    cloud: Sequence[CloudLevel] | None,
    *,
    config: Mapping[str, Any] | None = None,
) -> Path:
    """Draw the pictures of a run and write `report.html`, which links them relatively.

    Args:
      run_folder: holds `pictures/` and `report.html` afterwards.
      summary: the run's numbers; `test_accuracy`, `parameters`, `firing_rate`, `synops`,
        `energy_mj`, `ann_energy_mj`, `seconds` and `compiles` come first, all others after.
      metrics_rows: rows of `metrics.jsonl`, see `learning_curves`.
      confusion: int [K, K], row = true class.
      class_names: K names.
      rates: firing rates by layer; empty for a network without spikes.
      cloud: levels of one sample, see `cloud_levels`; None or empty leaves the picture out.
      config: the experiment; None reads `config.json` of the run folder if it is there.

    Returns:
      The path of the page.
    """
    require_matplotlib()
    folder = Path(run_folder)
    config = _read_config(folder) if config is None else config
    figures = {"learning_curves": learning_curves(metrics_rows)} if metrics_rows else {}
    figures["confusion"] = confusion_figure(confusion, class_names)
    if rates:
        figures["firing_rates"] = firing_rate_bars(rates)
    if cloud:
        figures["voxel_cloud"] = voxel_cloud(cloud)
    for name, figure in figures.items():
        save_figure(figure, folder / PICTURES / f"{name}.png")
    page = report_page(folder.name, summary, confusion, class_names, rates, list(figures), config)
    path = folder / "report.html"
    partial = folder / f".report.html.{os.getpid()}.part"
    partial.write_text(page, encoding="utf-8")
    os.replace(partial, path)
    return path


def report_page(
    name: str,
    summary: Mapping[str, Any],
    confusion: np.ndarray,
    class_names: Sequence[str],
    rates: Sequence[LayerRate],
    pictures: Sequence[str],
    config: Mapping[str, Any] | None,
) -> str:
    """The HTML of the report; all text is escaped. Arguments as in `write_report`."""
    worst = [(t, p, str(n)) for t, p, n in worst_confusions(confusion, class_names)]
    links = {key: f"{PICTURES}/{key}.png" for key in pictures}

    def picture(key: str) -> str:
        return html.picture(links[key], _CAPTIONS[key]) if key in links else ""

    parts = [
        html.headline(summary),
        html.section("Energy", html.energy_bars(summary)),
        picture("learning_curves"),
        picture("voxel_cloud"),
        picture("confusion"),
        html.section("Most frequent mistakes", html.table(("true", "predicted", "samples"), worst))
        if worst
        else "",
        picture("firing_rates"),
        html.section("Firing rates", html.rates_table(rates, rate_alarms(rates))),
        html.section("All numbers", html.table(("name", "value"), html.summary_rows(summary))),
        html.folded("Configuration", json.dumps(config, indent=2)) if config else "",
    ]
    return html.page(f"snnjax run: {name}", "\n".join(part for part in parts if part))


def _read_config(folder: Path) -> Mapping[str, Any] | None:
    path = folder / "config.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
