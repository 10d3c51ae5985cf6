"""Record what tonic 1.7.0 and expelliarmus 1.1.12 compute, for tests/data/events.

In an environment of its own:  pip install --no-deps tonic==1.7.0 expelliarmus==1.1.12  and
pip install numpy tqdm librosa;  then  python tests/reference/record_events.py  writes events.npz
next to this file.

tonic makes the frames. expelliarmus writes the events as .raw (EVT 2, EVT 3) and .dat, whose bytes
are kept, and it reads vectors of EVT 3. The events last WINDOW * STEPS microseconds, so that the
voxel grid of tonic, with positions STEPS (t - first) / (last - first), has its centres at multiples
of WINDOW. Some events lie on borders of frames.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

H, W, EVENTS, WINDOW, STEPS, COUNT, TAU = 6, 9, 400, 4000, 5, 64, 7000.0


def vectors() -> bytes:
    """EVT 3 words in which columns follow from vectors."""
    words = [0x8006, 0x6FF0, 0x0003, 0x3805, 0x4A05, 0x50C3, 0x4001, 0x2007]
    words += [0x6FFE, 0x0002, 0x3000, 0x5081, 0x6FFF, 0x4FFF, 0x2801, 0x280A]
    words += [0x0005, 0x2002]
    return b"% evt 3.0\n" + np.array(words, "<u2").tobytes()


def main() -> None:
    import tonic.functional as F
    from expelliarmus import Wizard

    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, WINDOW * STEPS, EVENTS)) + 123_456
    t[:2], t[-1] = 123_456, 123_456 + WINDOW * STEPS
    for i in (100, 200):  # on a border
        t[i] = 123_456 + WINDOW * round((t[i] - 123_456) / WINDOW)
    t = np.sort(t)
    columns = (
        t,
        rng.integers(0, W, EVENTS),
        rng.integers(0, H, EVENTS),
        rng.integers(0, 2, EVENTS),
    )
    kinds = [("t", np.int64), ("x", np.int16), ("y", np.int16), ("p", np.int8)]
    events = np.array(list(zip(*columns, strict=True)), kinds)
    size = (W, H, 2)
    out = dict(zip("txyp", columns, strict=True))
    out["window"] = F.to_frame_numpy(events.copy(), size, time_window=WINDOW)
    out["count"] = F.to_frame_numpy(events.copy(), size, event_count=COUNT, include_incomplete=True)
    out["surface"] = F.to_timesurface_numpy(events.copy(), size, dt=WINDOW, tau=TAU)
    out["voxel"] = F.to_voxel_grid_numpy(events.copy(), size, n_time_bins=STEPS)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("evt2", "evt3", "dat"):
            path = Path(folder) / f"e.{'dat' if name == 'dat' else 'raw'}"
            kept = events.copy()
            if name == "evt3":  # its writer sends the high part of time once, so it must not change
                kept["t"] = (kept["t"] - kept["t"][0]) // 8 + 30 * 4096
            Wizard(encoding=name).save(path, kept)
            out[name] = np.frombuffer(path.read_bytes(), np.uint8)
        # its writer makes no vectors, but its reader takes them
        out["vectors"] = np.frombuffer(vectors(), np.uint8)
        path.with_name("v.raw").write_bytes(vectors())
        read = Wizard(encoding="evt3", fpath=path.with_name("v.raw")).read()
        out |= {f"vectors_{name}": read[name] for name in "txyp"}
    np.savez_compressed(Path(__file__).with_name("events.npz"), **out)


if __name__ == "__main__":
    main()
