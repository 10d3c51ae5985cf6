"""Engine of the row `lidar-net`: one of our networks on one cloud, alone in its process."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from experiments.bench.process import forget_peak, memory, use_one_core

use_one_core()
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false " + os.environ.get("XLA_FLAGS", "")

import jax  # noqa: E402  after the settings of its threads
import jax.numpy as jnp  # noqa: E402
from flax import nnx  # noqa: E402

from experiments.bench.lidar_nets import (  # noqa: E402
    Maps,
    build_maps,
    build_net,
    linear_layers,
    named_weights,
    without,
)
from experiments.bench.measure import compile_program, our_version  # noqa: E402
from snnjax.sparse import SparseTensor, outdegree, sparse_tensor  # noqa: E402
from snnjax.sparse.maps import KernelMap  # noqa: E402


class Engine:
    """A network and a cloud; compiles each kind of work when it is first asked for."""

    library, thread_safe = "snnjax", True

    def __init__(self):
        self.version = our_version()

    def load(
        self,
        coords: np.ndarray,
        feats: np.ndarray,
        extent: tuple[int, int, int],
        kind: str,
        sizes: dict[str, Any],
        rows: list[int],
        **weights: np.ndarray,
    ) -> None:
        """Take coords (b, z, y, x) [N, 4], feats [N, C], the network, capacities and weights."""
        self._kind, self._sizes, self._rows = kind, sizes, tuple(rows)
        self._weights, count = weights, len(coords)
        z, y, x = extent
        pad = ((0, rows[0] - count), (0, 0))
        self._x = jax.device_put(
            sparse_tensor(
                jnp.asarray(np.pad(feats, pad)[None]),
                jnp.asarray(np.pad(coords[:, 1:], pad)[None]),
                jnp.array([count], jnp.int32),
                extent=(z, y, x),
            )
        )
        self._net = self._build()
        split = nnx.split(self._net)
        self._graph, self._state = split[0], jax.device_put(nnx.as_pure(split[1]))
        self._programs: dict[str, Any] = {}
        program = self._program("forward with maps")
        self._rest = memory("VmRSS")
        forget_peak()
        program.run()
        self._peak = memory("VmHWM")
        self._maps: Maps = self._program("maps").run()

    def run(self, what: str) -> np.ndarray | None:
        """Once the work, see `_function`; or "result", "facts", "same" or "strided"."""
        if what == "result":
            sites = self._maps.sites[-1 if self._net.plan["out"] else 0]
            return np.asarray(self._program("forward").run())[0, : int(sites.n[0])]
        if what == "facts":
            program = self._program("forward with maps")
            facts = self._peak, self._rest, program.temp_bytes or 0, program.compile_s
            return np.array(facts, np.float64)
        if what in ("same", "strided"):
            return self._count(what)
        self._program(what).run()
        return None

    def _program(self, what: str) -> Any:
        if what not in self._programs:
            self._programs[what] = compile_program(*self._function(what))
        return self._programs[what]

    def _function(self, what: str) -> tuple[Any, ...]:
        """The function of a kind of work, with its arguments."""
        plan, rows, graph = self._net.plan, self._rows, self._graph

        def forward(state: Any, x: SparseTensor, maps: Maps) -> jax.Array:
            return nnx.merge(graph, state)(None, x, maps)[1]

        if what == "forward with maps":
            both = lambda state, x: forward(state, x, build_maps(x, plan, rows))  # noqa: E731
            return both, self._state, self._x
        if what == "maps":
            return lambda x: build_maps(x, plan, rows), self._x
        if what == "forward":
            return forward, self._state, self._x, self._maps
        if what == "forward without norms and neurons":
            bare, state = nnx.split(without(self._build()))
            call = lambda state, x, maps: nnx.merge(bare, state)(None, x, maps)[1]  # noqa: E731
            return call, jax.device_put(nnx.as_pure(state)), self._x, self._maps
        if what == "linear layers":
            layers = linear_layers(self._net)
            sites = [self._maps.sites[level] for _, level in layers]
            inputs = [
                jnp.ones((1, x.capacity, len(layer.weight[...])), jnp.float32)
                for (layer, _), x in zip(layers, sites, strict=True)
            ]
            weights = [nnx.split(layer) for layer, _ in layers]
            graphs = [graph for graph, _ in weights]

            def products(states: list[Any], inputs: list[Any], sites: list[Any]) -> list[Any]:
                return [
                    nnx.merge(graph, state)(x.replace(feats=feats)).feats
                    for graph, state, feats, x in zip(graphs, states, inputs, sites, strict=True)
                ]

            return products, [nnx.as_pure(state) for _, state in weights], inputs, sites
        raise ValueError(f"no such work: {what!r}")

    def _build(self) -> Any:
        net = build_net(self._kind, self._sizes)
        for name, leaf in named_weights(net).items():
            leaf.set_value(jnp.asarray(self._weights[name]))
        return net

    def _count(self, what: str) -> np.ndarray:
        """Sites, rows, pairs and pairs with the padding of tiles of each map, [maps, 4]."""
        maps, sites = self._maps, self._maps.sites
        if what == "same":
            return np.array([_counts(m, x) for m, x in zip(maps.same, sites, strict=False)])
        strided = [*maps.down, *([] if maps.out is None else [maps.out])]
        return np.array([_counts(m, x) for m, x in zip(strided, sites, strict=False)])


def _counts(kmap: KernelMap, x: SparseTensor) -> tuple[int, ...]:
    sites, pairs = int(kmap.n[0]), int(outdegree(kmap, x.n).sum())
    held = pairs
    if kmap.pairs is not None:
        held = int(kmap.pairs.used) * kmap.pairs.rows_in.shape[1]
        if kmap.kind == "submanifold":
            held = 2 * held + kmap.out_rows
    return sites, kmap.out_rows, pairs, held
