"""Benchmarks of our layers and of peer libraries, measured in interleaved rounds.

    make bench                                        every row
    make bench ARGS="--rows sparse-conv --repeats 30"
    make bench ARGS="--help"

Each measurement is one JSON line in `results/<row>.jsonl`: row, library, version, what, median_ms,
min_ms, max_ms, shapes, device; where they apply also compile_s, temp_bytes, correct, and `ratio`,
the median over the rounds of this time divided by that of `ratio_to` in the same round.
Absolute times hold for one quiet machine; ratios survive some noise, since the rounds interleave.

`python -m experiments.bench.chart` draws the dense rows. Freed memory is kept, as `snnjax train`
does, and the peers of the dense rows get the same settings: --keep-memory ours (or none) shows the
effect on them, and on us.

Peers need environments of their own, outside of this one:

    python3.11 -m venv /tmp/spconv-venv
    /tmp/spconv-venv/bin/pip install spconv==2.3.8 torch
    make bench ARGS="--spconv-python /tmp/spconv-venv/bin/python"
    python3.11 -m venv /tmp/snn-venv
    /tmp/snn-venv/bin/pip install torch spikingjelly==2.0.0 snntorch norse
    python3.11 -m venv /tmp/jax-snn-venv
    /tmp/jax-snn-venv/bin/pip install spyx jaxpike
    make bench ARGS="--snn-python /tmp/snn-venv/bin/python"
    make bench ARGS="--jax-snn-python /tmp/jax-snn-venv/bin/python"
"""
