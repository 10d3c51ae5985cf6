"""N-MNIST, 849 recordings, with three spiking convolutions on eight frames of event counts.

    snnjax train nmnist_conv --data ../shared/data/nmnist

Expected: 95 to 98 of the 100 test recordings (three seeds). Run time: 75 seconds on two CPU cores.
"""

from snnjax.data.events import EventAugment, EventFrames, EventSource
from snnjax.experiment import Experiment, OptimiserConfig, ScheduleConfig
from snnjax.models import SpikingVGGConfig

experiment = Experiment(
    name="nmnist_conv",
    data=EventSource(
        "../shared/data/nmnist",
        sensor=(34, 34),
        frames=EventFrames(kind="count", steps=8),
        augment=EventAugment(shift=2, drop=0.2),
    ),
    model=SpikingVGGConfig(widths=(16, 32, 64), depths=(1, 1, 1), pool="currents", average=False),
    optimiser=OptimiserConfig(name="adamw", learning_rate=5e-3, weight_decay=1e-2, clip_norm=1.0),
    schedule=ScheduleConfig(name="cosine", warmup=0.1),
    batch_size=32,
    epochs=30,
    evaluate_every=5,
    checkpoint_every=500,
)
