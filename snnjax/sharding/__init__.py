"""Device meshes from text, sharding specs from rules, and communication of compiled programs.

The engine is JAX's own, `jax.shard_map` and the automatic partitioner. This package names meshes
and shardings, gathers sharded parameters, and counts the collectives of compiled programs.
"""

from snnjax.sharding.collectives import Collective as Collective
from snnjax.sharding.collectives import bytes_by_kind as bytes_by_kind
from snnjax.sharding.collectives import collectives as collectives
from snnjax.sharding.gather import AXIS as AXIS
from snnjax.sharding.gather import gather as gather
from snnjax.sharding.gather import manual_spec as manual_spec
from snnjax.sharding.gather import reduce_replicated as reduce_replicated
from snnjax.sharding.mesh import mesh_axes as mesh_axes
from snnjax.sharding.mesh import parse_mesh as parse_mesh
from snnjax.sharding.parallel import MODEL as MODEL
from snnjax.sharding.parallel import Parallel as Parallel
from snnjax.sharding.parallel import sharded_product as sharded_product
from snnjax.sharding.presets import PRESETS as PRESETS
from snnjax.sharding.presets import fsdp as fsdp
from snnjax.sharding.presets import mixed as mixed
from snnjax.sharding.presets import preset_specs as preset_specs
from snnjax.sharding.presets import replicated as replicated
from snnjax.sharding.presets import stats_specs as stats_specs
from snnjax.sharding.presets import tensor as tensor
from snnjax.sharding.rules import Rules as Rules
from snnjax.sharding.rules import check_spec as check_spec
from snnjax.sharding.rules import parameter_path as parameter_path
from snnjax.sharding.rules import placed as placed
from snnjax.sharding.rules import specs_by_rules as specs_by_rules
from snnjax.sharding.rules import specs_like as specs_like
