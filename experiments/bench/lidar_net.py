"""Row `lidar-net`: whole networks on real LiDAR scans, forward with maps, and spconv.

The L network for segmentation on a scan of SemanticKITTI (boxes of +-35.2 m, voxels of 5 cm), and
the backbone of the KITTI detector on what the camera sees of a frame. Each engine runs in its own
process on one core. Both take the same weights, for which float32 is exact; the output of spconv is
compared with ours, and so are the sites and pairs of all maps.
The parts of our time are measured as programs of their own, or by subtraction:

    share_maps       all kernel maps, a program
    share_norms      norms and neurons: "forward" less a network without them
    share_linear     linear layers of the decoder, a program
    share_rest       what remains of "forward with maps": convolutions, sums, concatenations

Memory is that of the process: at most (peak_bytes), and before the first forward (rest_bytes). A
level has sites, rows (capacity), pairs, and pairs with the padding of tiles.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.bench.lidar_nets import build_net, named_weights
from experiments.bench.measure import Case, measure, our_version
from experiments.bench.options import Options
from experiments.bench.peer import Peer
from experiments.bench.scene import error
from snnjax.data.lidar import LidarGrid, in_image, read_calibration, read_points, voxelise
from snnjax.runs.memory import ENVIRONMENT

ROW = "lidar-net"
WHOLE, PARTS = "forward with maps", ("forward", "maps", "forward without norms and neurons")
LINEAR = "linear layers"
REAL = "final.weight", "out.weight"  # layers on the real-valued stream
TOLERANCE = 1e-5
MARGIN = 1.1  # capacity over sites, as training fits it

SEGMENTATION = {
    "stem": 64,
    "channels": [64, 128, 128, 256],
    "depth": 2,
    "decoder": [256] * 4,
    "in_channels": 4,
    "num_classes": 19,
}
BACKBONE = {"stem": 16, "channels": [32, 64, 64], "depth": 2, "in_channels": 4, "num_classes": 1}
NEAR = LidarGrid((-35.2, -35.2, -4.0), (35.2, 35.2, 2.0))
FRONT = LidarGrid((0.0, -40.0, -3.0), (70.4, 40.0, 1.0), (0.05, 0.05, 0.1), (41, 1600, 1408))


@dataclass(frozen=True)
class Problem:
    """A network and the voxels of a scan.

    Attributes:
      name: of the network, in the records. kind, sizes: as in `lidar_nets.build_net`.
      coords: z, y, x in the order of their keys, int32 [N, 3]. feats: float32 [N, C].
      extent: voxels along z, y, x.
    """

    name: str
    kind: str
    sizes: dict[str, Any]
    coords: np.ndarray
    feats: np.ndarray
    extent: tuple[int, int, int]


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Records for each network of which there is a scan."""
    kept = {"ours": options.keep_memory != "none", "spconv": options.keep_memory == "all"}
    environment = {name: ENVIRONMENT if keep else {} for name, keep in kept.items()}
    ours, theirs = (f"experiments.bench.{name}_net_engine" for name in ("lidar", "spconv"))
    for problem in problems(options):  # a process holds one network: its peak memory is reported
        with contextlib.ExitStack() as stack:
            settings = {"JAX_PLATFORMS": "cpu", **environment["ours"]}
            own = stack.enter_context(Peer(sys.executable, engine=ours, environment=settings))
            peers = []
            if options.spconv_python is not None:
                peer = Peer(options.spconv_python, engine=theirs, environment=environment["spconv"])
                peers.append(stack.enter_context(peer))
            yield from measure_net(problem, own, peers, options.repeats)


def problems(options: Options) -> Iterator[Problem]:
    """The networks on the scans of the options; says on stderr which one has no scan."""
    if options.scan is None:
        print("the segmentation network is left out: there is no --scan.", file=sys.stderr)
    else:
        points = read_points(options.scan)
        yield _problem("e3dsnn_l_segmentation", "segmentation", SEGMENTATION, points, NEAR)
    if options.frame is None:
        print("the KITTI backbone is left out: there is no --frame.", file=sys.stderr)
    else:
        calib = options.frame.parents[1] / "calib" / f"{options.frame.stem}.txt"
        points = read_points(options.frame)
        points = points[in_image(points, read_calibration(calib))]
        yield _problem("kitti backbone", "backbone", BACKBONE, points, FRONT)


def _problem(name: str, kind: str, sizes: dict, points: np.ndarray, grid: LidarGrid) -> Problem:
    voxels = voxelise(points, grid, most=len(points))
    feats = np.round(voxels.feats * 16) / 16
    return Problem(name, kind, sizes, voxels.coords, feats, grid.extent)


def measure_net(
    problem: Problem, own: Peer, peers: Sequence[Peer], repeats: int
) -> Iterator[dict[str, Any]]:
    """Measure one network in our engine and in those of peers."""
    net = build_net(problem.kind, problem.sizes)
    owner = np.zeros((len(problem.coords), 1), np.int32)
    arrays = {"coords": np.concatenate([owner, problem.coords], axis=1), "feats": problem.feats}
    arrays |= _weights(net)
    shared = {"extent": list(problem.extent)}
    rows = _capacities(problem, net.plan)
    own.load({**shared, "kind": problem.kind, "sizes": problem.sizes, "rows": rows}, **arrays)
    same, strided = own.result("same").tolist(), own.result("strided").tolist()
    expected = own.result("result")
    shapes = {"net": problem.name, "voxels": len(problem.coords)}
    cases = []
    for peer in peers:
        peer.load({**shared, "plan": net.plan}, **arrays)
        sites = sorted(map(tuple, peer.result("sites").tolist()))
        known = sorted((counted[0], counted[2]) for counted in same + strided)
        difference = error(peer.result("result"), expected)
        peak, rest = map(int, peer.result("facts"))
        facts = {
            "threads": peer.threads,
            "same_maps": sites == known,
            "correct": peer.sound and sites == known and difference < TOLERANCE,
            "error": difference,
            "peak_bytes": peak,
            "rest_bytes": rest,
        }
        once = _clock(peer, WHOLE)
        cases.append(Case(peer.label, peer.version, WHOLE, once, shapes, facts))
    against = cases[0].name if cases else None
    facts = _facts(own, same, strided)
    cases.append(Case("snnjax", our_version(), WHOLE, _clock(own, WHOLE), shapes, facts, against))
    parts = (*PARTS, LINEAR) if net.plan["decoder"] else PARTS
    cases += [Case("snnjax", our_version(), what, _clock(own, what), shapes) for what in parts]
    records = measure(ROW, cases, repeats)
    for record in records:
        if record["library"] == "snnjax" and record["what"] == WHOLE:
            record |= _shares(
                {r["what"]: r["median_ms"] for r in records if r["library"] == "snnjax"}
            )
        yield record


def _clock(peer: Peer, what: str) -> Any:
    return lambda: peer.time(what)


def _shares(ms: dict[str, float]) -> dict[str, float]:
    """The parts of "forward with maps"; what is not measured by itself is the rest."""
    forward, maps, bare = (ms[what] for what in PARTS)
    parts = {"maps": maps, "norms": forward - bare, "linear": ms.get(LINEAR, 0.0)}
    parts["rest"] = maps + forward - sum(parts.values())
    return {f"share_{name}": round(part / (maps + forward), 4) for name, part in parts.items()}


def _facts(own: Peer, same: list, strided: list) -> dict[str, Any]:
    peak, rest, temp, seconds = own.result("facts").tolist()
    names = "sites", "rows", "pairs", "pairs_in_tiles"
    levels = [dict(zip(names, counts, strict=True)) for counts in same]
    downs = [dict(zip(names, counts, strict=True)) for counts in strided]
    held = levels + downs[len(levels) - 1 :]
    used, room = (sum(level[name] for level in held) for name in ("sites", "rows"))
    return {
        "compile_s": round(seconds, 3),
        "temp_bytes": int(temp),
        "peak_bytes": int(peak),
        "rest_bytes": int(rest),
        "empty_rows": round(1 - used / room, 4),
        "levels": levels,
        "strided": downs,
    }


def _weights(net: Any) -> dict[str, np.ndarray]:
    """Weights with few bits, so that sums are exact in any order and no rounding moves a spike."""
    rng = np.random.default_rng(0)
    found = {}
    for name, leaf in named_weights(net).items():
        shape = leaf[...].shape
        if name.endswith(".weight"):
            bits = 3 if name in REAL else 10
            value = rng.normal(size=shape) / np.sqrt(0.3 * np.prod(shape[:-1]))
            value = np.round(value * 2**bits) / 2**bits
        elif name.endswith(".scale"):
            value = rng.choice([0.5, 1.0], shape)
        elif name.endswith(".var"):
            value = np.full(shape, 1 - net.plan["eps"])
        else:
            value = np.round(rng.normal(size=shape) * 128) / 1024
        found[name] = value.astype(np.float32)
    return found


def _capacities(problem: Problem, plan: dict[str, Any]) -> list[int]:
    """Rows of every level, a margin above its sites."""
    size, cells = np.array(problem.extent), problem.coords
    rows = [len(cells)]
    for geometry in [*plan["stages"], *([plan["out"]] if plan["out"] else [])]:
        kernel, stride, padding = map(np.array, geometry)
        out = (size + 2 * padding - kernel) // stride + 1
        offsets = np.stack(np.meshgrid(*map(np.arange, kernel), indexing="ij"), -1).reshape(-1, 3)
        place = cells[:, None] + padding - offsets
        fits = (place % stride == 0).all(-1)
        place = place[fits] // stride
        place = place[((place >= 0) & (place < out)).all(-1)]
        cells, size = np.unique(place, axis=0), out
        rows.append(len(cells))
    return [8 * int(np.ceil(MARGIN * count / 8)) for count in rows]
