"""Named architectures."""

from snnjax.models.e3dsnn import E3DSNN as E3DSNN
from snnjax.models.e3dsnn import ClassifierOutput as ClassifierOutput
from snnjax.models.e3dsnn import E3DSNNConfig as E3DSNNConfig
from snnjax.models.e3dsnn import e3dsnn_h as e3dsnn_h
from snnjax.models.e3dsnn import e3dsnn_l as e3dsnn_l
from snnjax.models.e3dsnn import e3dsnn_s as e3dsnn_s
from snnjax.models.e3dsnn import e3dsnn_t as e3dsnn_t

MODELS = {"e3dsnn_t": e3dsnn_t, "e3dsnn_s": e3dsnn_s, "e3dsnn_l": e3dsnn_l, "e3dsnn_h": e3dsnn_h}
"""Names of published sizes, for the command-line edge."""
