"""Train an experiment from a checkout; the same as `snnjax train`.

python experiments/train.py e3dsnn_t_shapes3d --epochs 2
"""

import sys

from snnjax.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
