"""SNN-delays on SSC, spoken words as recorded spikes: layers of 512, delays of up to 300 ms.

    snnjax train snn_delays_ssc --data FOLDER      with ssc_train.h5, ssc_valid.h5 and ssc_test.h5
    snnjax evaluate runs/snn_delays_ssc-0 --checkpoint best --test-part

Published, not measured here, of the 20,382 test recordings:

    3L-2KC  80.69 +- 0.21 %  2,458,624 parameters  this experiment
    3L-1KC                   1,230,848             --model.kernel-count 1
    2L-2KC  80.16 +- 0.09 %  1,409,024             --model.layers 2
    2L-1KC                     705,536             --model.layers 2 --model.kernel-count 1

The epoch is chosen on the validation part (9,981), and the second command tests once. The network
and its training are those of Hammouamri et al., ICLR 2024, with the differences that
`snn_delays_shd` names; T is 120 frames. Needs h5py: pip install 'snnjax[events]'.
"""

from snnjax.data.speech import FrontEnd, SpeechSource
from snnjax.experiment import Experiment, Group, OptimiserConfig, ScheduleConfig
from snnjax.models import SNNDelaysConfig
from snnjax.train import ContinuousDelays

experiment = Experiment(
    name="snn_delays_ssc",
    data=SpeechSource(
        path="../shared/data/ssc",
        steps=120,
        validate=True,
        front_end=FrontEnd(name="recorded", channels=140, frame_ms=10.0),
    ),
    model=SNNDelaysConfig(
        hidden=512,
        layers=3,
        kernel_count=2,
        tau=1.5,
        dropout=0.25,
        delays="learned",
        max_delay=30,
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
    batch_size=128,
    epochs=60,
    checkpoint_every=500,
)
