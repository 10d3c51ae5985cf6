"""SNN-delays on SHD, spoken digits as recorded spikes: 2 layers of 256, delays of up to 240 ms.

    snnjax train snn_delays_shd --data FOLDER      with shd_train.h5 and shd_test.h5
    snnjax evaluate runs/snn_delays_shd-0 --checkpoint best --test-part

Published, not measured here: 95.07 +- 0.24 % of the 2,264 test recordings (2L-1KC, 214,016
parameters), at the best epoch on the test recordings themselves. SHD has no validation
part; here every tenth training recording is held out to choose the epoch (815 of 8,156), and the
second command tests once. Its voices are in training too, two of the test's are not. To train on
all and test on the test part after each epoch: --data.no-validate.

The network and its training are those of Hammouamri et al., ICLR 2024. What differs: T is 140
frames for all, and padding counts neither in norms nor in scores; frames begin at time 0, not at
the first spike; the last, partial batch of an epoch is left out; the first delays are uniform over
the buffer, where the published ones begin a step before it and are clamped; the taps have their
last width from epoch 37.5 on, not 37. Results are with rounded delays; summary.json also has
those with continuous ones. Needs h5py: pip install 'snnjax[events]'.
"""

from snnjax.data.speech import FrontEnd, SpeechSource
from snnjax.experiment import Experiment, Group, OptimiserConfig, ScheduleConfig
from snnjax.models import SNNDelaysConfig
from snnjax.train import ContinuousDelays

experiment = Experiment(
    name="snn_delays_shd",
    data=SpeechSource(
        path="../shared/data/shd",
        steps=140,
        validate=True,
        front_end=FrontEnd(name="recorded", channels=140, frame_ms=10.0),
    ),
    model=SNNDelaysConfig(
        hidden=256,
        layers=2,
        kernel_count=1,
        tau=1.005,
        dropout=0.4,
        delays="learned",
        max_delay=24,
        readout="softmax_sum",
    ),
    evaluators=(ContinuousDelays(),),
    optimiser=OptimiserConfig(
        name="adam",
        learning_rate=5e-3,
        weight_decay=1e-5,
        momentum=0.9,
        momentum_swing=0.05,
        clip_norm=0.0,
        groups=(  # rate 20 * 5e-3 = 0.1
            Group("delay$", 20.0, 0.0, ScheduleConfig(warmup=0.0, end=0.0, every="epoch")),
        ),
    ),
    schedule=ScheduleConfig("one_cycle", warmup=0.3, start=0.04, end=4e-6, every="epoch"),
    batch_size=256,
    epochs=150,
    checkpoint_every=500,
)
