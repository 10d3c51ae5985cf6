"""A small E-3DSNN for tests that train one."""

from __future__ import annotations

from typing import Any

from snnjax.models import E3DSNN, E3DSNNConfig


def narrow(**options: Any) -> E3DSNN:
    """E-3DSNN with two stages instead of four, and few channels: it compiles in seconds."""
    rngs = options.pop("rngs")
    return E3DSNN(E3DSNNConfig(stem=8, channels=(16, 32), depth=1, **options), rngs=rngs)
