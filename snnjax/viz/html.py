"""Pieces of the report page. Every piece escapes the text that it is given."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from snnjax.metrics import LayerRate

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; }
.card { border: 1px solid #ddd; border-radius: .5rem; padding: .6rem 1rem; min-width: 7.5rem; }
.card b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.card span { color: #666; font-size: .85rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid #eee;
         overflow-wrap: anywhere; vertical-align: top; }
th { color: #666; font-weight: 600; }
td.number { text-align: right; }
tr.alarm td, .alarm { color: #b34700; font-weight: 600; }
figure { margin: 2rem 0; }
figure img { max-width: 100%; height: auto; }
figcaption { color: #666; font-size: .9rem; }
.bar { display: inline-block; height: .9rem; border-radius: .2rem; vertical-align: middle; }
.bars td { border: 0; white-space: nowrap; }
pre { background: #f6f6f6; padding: 1rem; border-radius: .5rem; overflow-x: auto;
      font-size: .85rem; }
"""
_FIRST = {
    "parameters": "parameters",
    "firing_rate": "mean firing rate",
    "synops": "synaptic operations per sample",
    "energy_mj": "energy per sample, mJ",
    "seconds": "seconds",
    "compiles": "compilations",
}


def page(title: str, body: str) -> str:
    """A page that needs no other file and runs no script."""
    policy = "script-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def section(title: str, body: str) -> str:
    """`body` under a heading."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>"


def folded(title: str, text: str) -> str:
    """Preformatted text in an initially collapsed section."""
    return f"<details>\n<summary>{escape(title)}</summary>\n<pre>{escape(text)}</pre>\n</details>"


def picture(png: bytes, caption: str) -> str:
    """A picture inside the page."""
    data = base64.b64encode(png).decode()
    return (
        f'<figure>\n<img src="data:image/png;base64,{data}" alt="{escape(caption)}">\n'
        f"<figcaption>{escape(caption)}</figcaption>\n</figure>"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], alarms: Sequence[bool] = ()) -> str:
    """A table of text; row i is marked where `alarms[i]`."""
    lines = ["<tr>" + "".join(f"<th>{escape(text)}</th>" for text in head) + "</tr>"]
    for i, row in enumerate(rows):
        mark = ' class="alarm"' if i < len(alarms) and alarms[i] else ""
        lines.append(f"<tr{mark}>" + "".join(map(_cell, row)) + "</tr>")
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def headline(summary: Mapping[str, Any]) -> str:
    """The main numbers as cards: the first one of the summary, the best of it, then the others."""
    cards = [
        f'<div class="card"><b>{escape(show(summary[key], key))}</b>'
        f"<span>{escape(label)}</span></div>"
        for key, label in _main(summary).items()
        if summary.get(key) is not None
    ]
    return '<div class="cards">\n' + "\n".join(cards) + "\n</div>"


def energy_bars(summary: Mapping[str, Any]) -> str:
    """The energy of one sample, compared with the ANN twin's on the same input."""
    snn, ann = _positive(summary.get("energy_mj")), _positive(summary.get("ann_energy_mj"))
    if snn is None or ann is None:
        return "<p>No energy was counted.</p>"
    widths = [24 * value / max(snn, ann) for value in (snn, ann)]
    rows = "".join(
        f"<tr><td>{name}</td><td>{escape(show(value, 'energy'))} mJ</td>"
        f'<td><span class="bar" style="width:{width:.2f}rem;background:{colour}"></span></td></tr>'
        for name, value, width, colour in (
            ("this network", snn, widths[0], "#0072B2"),
            ("ANN twin, same layers and input", ann, widths[1], "#8A8A8A"),
        )
    )
    times = f"{ann / snn:.1f} times less" if ann >= snn else f"{snn / ann:.1f} times more"
    note = (
        f"{times} than the twin by counting: 4.6 pJ per multiply-add, 0.9 pJ per addition (45 nm). "
        "Memory traffic, norms and neurons are not counted; no hardware was measured."
    )
    return f'<table class="bars">{rows}</table>\n<p>{escape(note)}</p>'


def rates_table(rates: Sequence[LayerRate], alarms: Sequence[str]) -> str:
    """The rates of all layers, and remedies for those in alarm."""
    if not rates:
        return "<p>No layer of this network receives spikes.</p>"
    head = ("layer", "non-zero", "mean count", "state")
    rows = [(r.name, f"{r.rate:.4f}", f"{r.mean_count:.4f}", r.alarm or "ok") for r in rates]
    notes = "".join(f'<p class="alarm">{escape(text)}</p>\n' for text in alarms)
    return notes + table(head, rows, [bool(r.alarm) for r in rates])


def summary_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every number of the summary as text, the main ones first."""
    first = [key for key in _main(summary) if key in summary]
    return [
        (key, show(summary[key], key)) for key in first + [k for k in summary if k not in first]
    ]


def show(value: Any, name: str = "") -> str:
    """Format a number for the report: accuracies and rates in %, large counts with separators.

    >>> show(0.95312, "test_accuracy"), show(1874216), show(0.0421, "energy_mj"), show(None)
    ('95.31 %', '1,874,216', '0.0421', 'none')
    """
    if value is None:
        return "none"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if not math.isfinite(value):
        return str(value)
    if "accuracy" in name or name == "firing_rate":
        return f"{100 * value:.2f} %"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _main(summary: Mapping[str, Any]) -> dict[str, str]:
    """Keys of the main numbers and their labels."""
    goal = next((key for key in summary if key.startswith("test_")), None)
    if goal is None:
        return _FIRST
    words = goal.replace("_", " ")
    return {goal: words, f"best_{goal}": f"best {words}"} | _FIRST


def _cell(text: str) -> str:
    number = text.replace(",", "").replace(".", "", 1).isdigit()
    return f'<td class="number">{escape(text)}</td>' if number else f"<td>{escape(text)}</td>"


def _positive(value: Any) -> float | None:
    return value if isinstance(value, int | float) and math.isfinite(value) and value > 0 else None
