"""Programs that run once: compiling is what costs."""

from __future__ import annotations

from functools import partial

import jax

quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
