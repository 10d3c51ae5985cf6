"""SNN-delays on Speech Commands v0.02, 35 words as mel spectrograms: layers of 512, up to 300 ms.

    snnjax train snn_delays_gsc --data FOLDER      with one folder per word and the two lists
    snnjax evaluate runs/snn_delays_gsc-0 --checkpoint best --test-part

Published, not measured here, of the test part (testing_list.txt):

    3L-2KC  95.35 +- 0.04 %  2,458,624 parameters  this experiment
    3L-1KC                   1,230,848             --model.kernel-count 1
    2L-2KC  95.00 +- 0.06 %  1,409,024             --model.layers 2
    2L-1KC                     705,536             --model.layers 2 --model.kernel-count 1

The epoch is chosen on the validation part (validation_list.txt), and the second command tests once.

A recording is truncated or padded to 16,000 samples, halved to 8 kHz, and becomes 101 frames of 140
mel bands from 50 to 14,000 Hz in dB, from spectra of 256 samples every 80. As published, 53 of the
bands lie above half the rate: they are empty and always -100 dB, and nothing is normalised. The
network and its training are those of Hammouamri et al., ICLR 2024; the low-pass of the halving is
our own, and the last, partial batch of an epoch is left out.
"""

from snnjax.data.speech import FrontEnd, SpeechSource
from snnjax.experiment import Experiment, Group, OptimiserConfig, ScheduleConfig
from snnjax.models import SNNDelaysConfig
from snnjax.train import ContinuousDelays

experiment = Experiment(
    name="snn_delays_gsc",
    data=SpeechSource(
        path="../shared/data/speech_commands",
        steps=101,
        validate=True,
        front_end=FrontEnd(
            name="mel_db", channels=140, frame_ms=10.0, low_hz=50.0, high_hz=14_000.0
        ),
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
    epochs=100,
    checkpoint_every=500,
)
