"""From host batches to device batches, ahead of the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import jax

from snnjax.data import Batch, DataError, Dataset, Source, batches, check_finite
from snnjax.train.mesh import local_rows, place_batch
from snnjax.train.prefetch import Prefetch
from snnjax.train.step import Shape

if TYPE_CHECKING:
    from snnjax.train.session import Session


class Prepared(NamedTuple):
    """A batch on its devices, with its description on the host.

    Attributes:
      batch: the arrays of the step, sharded.
      host: the same batch on the host; of the source's arrays, the rows of this process.
      shape: its bucket; None if all batches have one shape.
      padding: fraction of computed entries that is padding.
      position: state of the data iterator after this batch; None in evaluation.
    """

    batch: dict[str, jax.Array]
    host: Batch
    shape: Shape
    padding: float
    position: dict[str, Any] | None


def train_feed(session: Session, position: dict[str, Any] | None = None) -> Prefetch[Prepared]:
    """Endless training batches from `position` on (None: from the first)."""
    experiment, rows = session.experiment, _rows(session)
    iterator = batches(
        session.train_set,
        session.source,
        experiment.batch_size,
        seed=experiment.seed,
        train=True,
        rows=rows,
    )
    if position is not None:
        iterator.set_state(position)

    def produce() -> Prepared:
        batch = _next(iterator, "training")
        position = iterator.get_state()
        return _prepare(session, batch, "training", position)

    return Prefetch(produce)


def evaluation_feed(
    session: Session, dataset: Dataset, *, source: Source | None = None, copies: int = 0
) -> Prefetch[Prepared]:
    """A split once, in order; or `copies` randomly changed copies of it.

    Args:
      session: batch size and mesh. dataset: the split.
      source: the source of the batches; None uses the session's own.
      copies: passes over the split with the source's random changes; 0 is one pass without.
    """
    iterator = batches(
        dataset,
        session.source if source is None else source,
        session.experiment.batch_size,
        seed=0,
        train=False,
        augment=copies > 0,
        epochs=max(copies, 1),
        rows=_rows(session),
    )
    return Prefetch(lambda: _prepare(session, _next(iterator, "test"), "test", None))


def _rows(session: Session) -> Any:
    """The rows of a batch that this process reads; None for all."""
    if not session.mesh.is_multi_process:
        return None
    return local_rows(session.experiment.batch_size, session.mesh)


def _next(iterator: Iterator[Batch], split: str) -> Batch:
    """The next batch; unexpected errors in making it are reported as data errors.

    Errors with a message for the user, such as those of readers, are raised unchanged.
    """
    try:
        return next(iterator)
    except (StopIteration, ValueError, OSError):
        raise
    except Exception as error:
        raise DataError(
            f"a batch of the {split} split could not be made: {type(error).__name__}: "
            f"{str(error).rstrip('.')}. "
            "Correct the data set, then resume the run; --debug shows where it happened."
        ) from error


def _prepare(
    session: Session, batch: Batch, split: str, position: dict[str, Any] | None
) -> Prepared:
    check_finite(batch, split, _rows(session))
    session.spec.task.check_batch(batch, session.info)
    shape = session.shapes.choose(
        batch, train=split == "training", largest=session.mesh.is_multi_process
    )
    padding = session.shapes.padding(batch, shape)
    arrays = {name: array for name, array in batch.items() if name != "index"}
    return Prepared(place_batch(arrays, session.mesh), batch, shape, padding, position)


def pipelined(
    feed: Prefetch[Prepared], launch: Callable[[Prepared], Any], *, ahead: int = 2
) -> Iterator[tuple[Prepared, Any]]:
    """Launch a step for every item of `feed`; yield (item, output) up to `ahead` steps late."""
    waiting: list[tuple[Prepared, Any]] = []
    for item in feed:
        waiting.append((item, launch(item)))
        if len(waiting) > ahead:
            yield waiting.pop(0)
    yield from waiting
