"""Sparse tensors of fixed capacity, their kernel maps, and convolution over them."""

from snnjax.sparse.arithmetic import ArithmeticRule as ArithmeticRule
from snnjax.sparse.arithmetic import ArithmeticTable as ArithmeticTable
from snnjax.sparse.capacity import Buckets as Buckets
from snnjax.sparse.capacity import Capacities as Capacities
from snnjax.sparse.capacity import fit_buckets as fit_buckets
from snnjax.sparse.capacity import level_counts as level_counts
from snnjax.sparse.conv import sparse_conv as sparse_conv
from snnjax.sparse.maps import KernelMap as KernelMap
from snnjax.sparse.maps import inverse_map as inverse_map
from snnjax.sparse.maps import strided_map as strided_map
from snnjax.sparse.maps import submanifold_map as submanifold_map
from snnjax.sparse.norm import masked_moments as masked_moments
from snnjax.sparse.norm import masked_normalise as masked_normalise
from snnjax.sparse.pairs import Pairs as Pairs
from snnjax.sparse.pool import adaptive_bins as adaptive_bins
from snnjax.sparse.pool import global_max_pool as global_max_pool
from snnjax.sparse.pool import global_mean_pool as global_mean_pool
from snnjax.sparse.pool import max_pool as max_pool
from snnjax.sparse.pool import mean_pool as mean_pool
from snnjax.sparse.pool import paper_bins as paper_bins
from snnjax.sparse.pool import pyramid_pool as pyramid_pool
from snnjax.sparse.pool import spatial_pyramid_pool as spatial_pyramid_pool
from snnjax.sparse.tensor import SparseTensor as SparseTensor
from snnjax.sparse.tensor import linear_key as linear_key
from snnjax.sparse.tensor import sparse_tensor as sparse_tensor
from snnjax.sparse.voxelize import voxelize as voxelize
