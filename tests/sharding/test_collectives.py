"""Programs whose messages are known, and texts in the forms that other backends write."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from snnjax.sharding import Collective, bytes_by_kind, collectives, parse_mesh

MESH = parse_mesh("data=4,model=2")


def sent(function: Any, *shapes: tuple[tuple[int, ...], Any, P], out: P) -> list[Collective]:
    """The collectives of a function inside `shard_map` over both axes."""
    arrays = [
        jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(MESH, spec))
        for shape, dtype, spec in shapes
    ]
    mapped = jax.shard_map(
        function, mesh=MESH, in_specs=tuple(s for *_, s in shapes), out_specs=out, check_vma=False
    )
    return collectives(jax.jit(mapped).lower(*arrays).compile().as_text())


def test_a_program_of_one_device_sends_nothing() -> None:
    assert collectives(jax.jit(lambda x: x + 1).lower(jnp.ones(3)).compile().as_text()) == []


def test_a_sum_of_two_dtypes_over_one_axis() -> None:
    found = sent(
        lambda x, n: jax.lax.psum((x, n), "data"),
        ((8, 6), jnp.float32, P("data")),
        ((4, 5), jnp.int16, P("data")),
        out=P(),
    )
    assert bytes_by_kind(found) == {"all-reduce": 2 * 6 * 4 + 5 * 2}
    assert {one.group for one in found} == {4}


def test_gather_and_scatter() -> None:
    def both(x: Any) -> Any:
        full = jax.lax.all_gather(x, "model", axis=0, tiled=True)
        return jax.lax.psum_scatter(full * 2, "data", scatter_dimension=0, tiled=True)

    found = sent(both, ((16, 3), jnp.float32, P("model")), out=P("data"))
    assert {(one.kind, one.bytes, one.group) for one in found} == {
        ("all-gather", 8 * 3 * 4, 2),
        ("reduce-scatter", 16 * 3 * 4, 4),
    }
    ring = {one.kind: one.sent for one in found}
    assert ring == {"all-gather": 8 * 3 * 4, "reduce-scatter": 16 * 3 * 4 * 3 / 4}


def test_a_message_in_a_loop_counts_each_time() -> None:
    def turns(x: Any) -> Any:
        return jax.lax.fori_loop(
            0, 5, lambda _, y: jax.lax.ppermute(y, "data", [(i, (i + 1) % 4) for i in range(4)]), x
        )

    found = sent(turns, ((8, 2), jnp.float32, P("data")), out=P("data"))
    assert [(one.kind, one.bytes, one.times) for one in found] == [("collective-permute", 16, 5)]
    assert bytes_by_kind(found) == {"collective-permute": 80}


def test_an_exchange_of_all() -> None:
    found = sent(
        lambda x: jax.lax.all_to_all(x, "data", 1, 0, tiled=True),
        ((8, 8), jnp.float32, P("data")),
        out=P(None, "data"),
    )
    assert [one.kind for one in found] == ["all-to-all"]
    assert found[0].group == 4
    assert found[0].bytes == 2 * 8 * 4


HEADER = "HloModule jit_step, is_scheduled=true, num_partitions=8\n\n"
ADD = """%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

"""


def program(*lines: str, before: str = "") -> str:
    body = "\n".join(f"  {line}" for line in lines)
    return (
        f"{HEADER}{ADD}{before}ENTRY %main (p: f32[16,4], q: bf16[8]) -> f32[16,4] {{\n{body}\n}}\n"
    )


P0 = "%p = f32[16,4]{1,0} parameter(0)"
P1 = "%q = bf16[8]{0} parameter(1)"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (  # started and done, one operand; the groups by a formula
            program(
                P0,
                "%s = f32[16,4]{1,0} all-reduce-start(%p), channel_id=1, "
                "replica_groups=[2,4]<=[8], use_global_device_ids=true, to_apply=%add",
                "ROOT %d = f32[16,4]{1,0} all-reduce-done(%s)",
            ),
            [Collective("all-reduce", 256, 4)],
        ),
        (  # the type of a start holds operand and result
            program(
                P0,
                "%s = (f32[16,4]{1,0}, f32[128,4]{1,0}) all-gather-start(%p), channel_id=2, "
                "replica_groups={{0,1,2,3,4,5,6,7}}, dimensions={0}, "
                'backend_config={"collective_backend_config":{"is_sync":false}}',
                "ROOT %d = f32[128,4]{1,0} all-gather-done(%s)",
            ),
            [Collective("all-gather", 256, 8)],
        ),
        (  # a tuple of two dtypes with a comment, operands with their types, tiled layouts
            program(
                P0,
                P1,
                "%s = (f32[16,4]{1,0:T(8,128)}, /*index=1*/bf16[8]{0:T(256)}) "
                "all-reduce(f32[16,4]{1,0:T(8,128)} %p, /*index=1*/bf16[8]{0:T(256)} %q), "
                "replica_groups={}, to_apply=%add",
            ),
            [Collective("all-reduce", 256 + 16, 8)],
        ),
        (  # wrapped: the operation stands in a computation that the start calls
            program(
                P0,
                "%s = ((f32[16,4]{1,0}), f32[4,4]{1,0}, u32[]) async-start(%p), "
                'async_execution_thread="parallel", calls=%wrapped',
                "%u = ((f32[16,4]{1,0}), f32[4,4]{1,0}, u32[]) async-update(%s), calls=%wrapped",
                "ROOT %d = f32[4,4]{1,0} async-done(%u), calls=%wrapped",
                before="%wrapped (x: f32[16,4]) -> f32[4,4] {\n"
                "  %x = f32[16,4]{1,0} parameter(0)\n"
                "  ROOT %r = f32[4,4]{1,0} reduce-scatter(%x), channel_id=3, "
                "replica_groups={{0,2,4,6},{1,3,5,7}}, dimensions={0}, to_apply=%add\n}\n\n",
            ),
            [Collective("reduce-scatter", 256, 4)],
        ),
        (  # the start of a permutation carries contexts
            program(
                P1,
                "%s = (bf16[8]{0}, bf16[8]{0}, u32[], u32[]) collective-permute-start(%q), "
                "source_target_pairs={{0,1},{1,0}}",
                "ROOT %d = bf16[8]{0} collective-permute-done(%s)",
            ),
            [Collective("collective-permute", 16, 2)],
        ),
        (  # groups by the axes of a mesh, of which one is split in two
            program(
                P1,
                "%a = bf16[8]{0} all-reduce(%q), replica_groups=mesh['x'=2,'y'=4], "
                "device_ids=([4,2]T(1,0)) {'y'}, to_apply=%add",
                "%b = bf16[8]{0} all-reduce(%q), replica_groups=mesh['x'=2,'y'=4] "
                "{'x','y':(1)2}, to_apply=%add",
            ),
            [Collective("all-reduce", 16, 4), Collective("all-reduce", 16, 4)],
        ),
        (  # a loop of known length in another, and one of unknown length
            program(
                P0,
                "%w = f32[16,4]{1,0} while(%p), condition=%c, body=%outer, backend_config="
                '{"known_trip_count":{"n":"3"}}',
                "%v = f32[16,4]{1,0} while(%p), condition=%c, body=%inner",
                before="%c (x: f32[16,4]) -> pred[] {\n  ROOT %t = pred[] constant(true)\n}\n\n"
                "%inner (x: f32[16,4]) -> f32[16,4] {\n  %x = f32[16,4]{1,0} parameter(0)\n"
                "  ROOT %r = f32[16,4]{1,0} all-reduce(%x), replica_groups={{0,1}}, "
                "to_apply=%add\n}\n\n"
                "%outer (x: f32[16,4]) -> f32[16,4] {\n  %x = f32[16,4]{1,0} parameter(0)\n"
                "  ROOT %r = f32[16,4]{1,0} while(%x), condition=%c, body=%inner, backend_config="
                '{"known_trip_count":{"n":"5"}}\n}\n\n',
            ),
            [
                Collective("all-reduce", 256, 2, times=15),
                Collective("all-reduce", 256, 2, times=1, at_least=True),
            ],
        ),
        (  # one device a group sends nothing
            program(
                P0, "%a = f32[16,4]{1,0} all-reduce(%p), replica_groups=[8,1]<=[8], to_apply=%add"
            ),
            [],
        ),
        (  # half bytes, booleans, complex numbers, eight-bit floats
            program(
                "%n = (s4[3]{0}, pred[5]{0}, c64[2]{0}, f8e4m3fn[7]{0}) parameter(0)",
                "%a = (s4[3]{0}, pred[5]{0}, c64[2]{0}, f8e4m3fn[7]{0}) all-to-all(%n), "
                "replica_groups=[4,2]<=[8]",
            ),
            [Collective("all-to-all", 2 + 5 + 16 + 7, 2)],
        ),
    ],
)
def test_other_ways_of_writing(text: str, want: list[Collective]) -> None:
    assert collectives(text) == want


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no program", "has no ENTRY"),
        (program("%a = f32[2]{0} all-reduce(%z), replica_groups={}"), "'%z' .* not defined"),
        (program(P0, "%a = f32[2]{0} all-reduce(%p), replica_groups=?"), "unknown format"),
        (program(P0, "%a = f32[2]{0} all-reduce(odd[2] %p), replica_groups={}"), "dtype 'odd'"),
    ],
)
def test_unknown_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        collectives(text)


TPU = (
    """HloModule jit_update, is_scheduled=true, num_partitions=8

%fused (x: f32[20,64,256], i: s32[]) -> f32[64,256] {
  %x = f32[20,64,256]{2,1,0:T(8,128)} parameter(0)
  %i = s32[]{:T(128)S(6)} parameter(1)
  %o = s32[]{:T(128)} constant(0)
  %slice = f32[1,64,256]{2,1,0:T(8,128)} dynamic-slice(%x, %i, %o, %o), \
dynamic_slice_sizes={1,64,256}
  ROOT %row = f32[64,256]{1,0:T(8,128)} bitcast(%slice)
}

%region_0.1_spmd.sunk (s: (s32[], f32[20,64,256], bf16[64,256])) -> \
(s32[], f32[20,64,256], bf16[64,256]) {
  %one = s32[]{:T(128)} constant(1)
  %s = (s32[]{:T(128)}, f32[20,64,256]{2,1,0:T(8,128)}, bf16[64,256]{1,0:T(8,128)(2,1)}) \
parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%s), index=0
  %copy.7 = s32[]{:T(128)S(6)} copy(%i), backend_config={"flag_configs":[]}
  %next = s32[]{:T(128)} add(%copy.7, %one)
  %xs = f32[20,64,256]{2,1,0:T(8,128)} get-tuple-element(%s), index=1
  %row = f32[64,256]{1,0:T(8,128)} fusion(%xs, %copy.7), kind=kLoop, calls=%fused
  %psum = bf16[64,256]{1,0:T(8,128)(2,1)} all-reduce(%row), channel_id=1, \
replica_groups={{0,1,2,3,4,5,6,7}}, use_global_device_ids=true, to_apply=%add, \
backend_config={"barrier_config":{"barrier_type":"CUSTOM","id":"0"},\
"collective_algorithm_config":{"strategy":"StrategyND"}}
  ROOT %t = (s32[]{:T(128)}, f32[20,64,256]{2,1,0:T(8,128)}, bf16[64,256]{1,0:T(8,128)(2,1)}) \
tuple(%next, %xs, %psum)
}

%region_1.2_spmd (s: (s32[], f32[20,64,256], bf16[64,256])) -> pred[] {
  %last = s32[]{:T(128)} constant(20)
  %s = (s32[]{:T(128)}, f32[20,64,256]{2,1,0:T(8,128)}, bf16[64,256]{1,0:T(8,128)(2,1)}) \
parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%s), index=0
  ROOT %lt.3 = pred[]{:T(512)} compare(%i, %last), direction=LT, backend_config={}
}

"""
    + ADD
)

TPU_ENTRY = """ENTRY %main.6_spmd (x: f32[20,64,256], w: f32[64,256]) -> f32[64,256] {
  %zero = s32[]{:T(128)} constant(2)
  %x = f32[20,64,256]{2,1,0:T(8,128)} parameter(0), sharding={devices=[1,8,1]<=[8]}
  %w = f32[64,256]{1,0:T(8,128)} parameter(1), sharding={replicated}
  %h = bf16[64,256]{1,0:T(8,128)(2,1)} convert(%w)
  %start = s32[]{:T(128)} copy(%zero)
  %carry = (s32[]{:T(128)}, f32[20,64,256]{2,1,0:T(8,128)}, bf16[64,256]{1,0:T(8,128)(2,1)}) \
tuple(%start, %x, %h)
  %while.12 = (s32[]{:T(128)}, f32[20,64,256]{2,1,0:T(8,128)}, \
bf16[64,256]{1,0:T(8,128)(2,1)}) while(%carry), condition=%region_1.2_spmd, \
body=%region_0.1_spmd.sunk
  %copy-start.8 = (f32[64,256]{1,0:T(8,128)S(1)}, f32[64,256]{1,0:T(8,128)}, u32[]{:S(2)}) \
copy-start(%w)
  %collective-permute-start = (f32[64,256]{1,0:T(8,128)}, f32[64,256]{1,0:T(8,128)}, \
u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%w), channel_id=1, \
source_target_pairs={{0,1},{1,2},{2,3},{3,4},{4,5},{5,6},{6,7},{7,0}}
  %copy-done.8 = f32[64,256]{1,0:T(8,128)S(1)} copy-done(%copy-start.8)
  %collective-permute-done = f32[64,256]{1,0:T(8,128)} \
collective-permute-done(%collective-permute-start)
  %all_gather.15 = bf16[512,256]{1,0:T(8,128)(2,1)} all-gather(%h), channel_id=1, \
replica_groups={{0,1,2,3,4,5,6,7}}, dimensions={0}, use_global_device_ids=true
  ROOT %sum = f32[64,256]{1,0:T(8,128)} all-reduce(%copy-done.8), channel_id=3, \
replica_groups={{0,1,2,3,4,5,6,7}}, use_global_device_ids=true, to_apply=%add
}
"""


def test_a_program_of_a_tpu() -> None:
    """Tiled layouts and memories; a loop whose length stands in its condition alone, from 2 to 20.

    A short form of what the compiler wrote for a described v5p. The sum in the loop takes float32
    and returns bfloat16.
    """
    size = 64 * 256
    assert sorted(collectives(TPU + TPU_ENTRY), key=lambda one: one.kind) == [
        Collective("all-gather", 2 * size, 8),
        Collective("all-reduce", 4 * size, 8),
        Collective("all-reduce", 4 * size, 8, times=18),
        Collective("collective-permute", 4 * size, 2),
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("copy(%zero)", "fusion(%zero), calls=%add"),  # from where is not a constant
        ("direction=LT", "direction=GT"),
        ("tuple(%next, %xs, %psum)", "tuple(%i, %xs, %psum)"),  # it does not count
        ("constant(1)", "constant(2)"),  # by twos
    ],
)
def test_a_loop_that_does_not_count_by_one_has_no_length(before: str, after: str) -> None:
    text = TPU + TPU_ENTRY
    assert before in text
    found = collectives(text.replace(before, after))
    assert Collective("all-reduce", 4 * 64 * 256, 8, at_least=True) in found
