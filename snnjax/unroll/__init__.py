"""Time: one function that steps neurons, cells and whole models through a sequence."""

from snnjax.unroll.unroll import unroll as unroll
