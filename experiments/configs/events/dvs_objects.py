"""Five hand-held objects before a DVS128, tested on a session of another day.

    snnjax train dvs_objects --data ../shared/data/dvs128_objects

Windows of 200 ms, five frames of 40 ms each, on a quarter of the rows and columns. The nearest
neighbour in 16 x 16 maps of counts reaches 60.4 %.

Expected: 90.9 to 92.4 % of 328 windows of the other session (three seeds). Run time: 45 seconds on
two CPU cores.
"""

from snnjax.data.events import EventAugment, EventFrames, EventSource
from snnjax.experiment import Experiment, OptimiserConfig, ScheduleConfig
from snnjax.models import SpikingVGGConfig
from snnjax.tasks import Classification

experiment = Experiment(
    name="dvs_objects",
    data=EventSource(
        "../shared/data/dvs128_objects",
        sensor=(128, 128),
        slice_us=200_000,
        frames=EventFrames(kind="count", steps=5, downsample=4),
        augment=EventAugment(flip=0.5, shift=16, flip_polarity=0.2, drop=0.3, drop_area=0.3),
    ),
    model=SpikingVGGConfig(
        widths=(16, 32, 64, 64), depths=(1, 1, 1, 1), pool="currents", dropout=0.3
    ),
    task=Classification(label_smoothing=0.1),
    optimiser=OptimiserConfig(name="adamw", learning_rate=5e-3, weight_decay=5e-2, clip_norm=1.0),
    schedule=ScheduleConfig(name="cosine", warmup=0.1),
    batch_size=32,
    epochs=20,
    evaluate_every=5,
    checkpoint_every=500,
)
