"""Spiking convolutional networks on dense pictures and event frames, and their ANN twins."""

from snnjax.models.conv_nets.parts import ConvNetConfig as ConvNetConfig
from snnjax.models.conv_nets.resnet import SpikingResNet as SpikingResNet
from snnjax.models.conv_nets.resnet import SpikingResNetConfig as SpikingResNetConfig
from snnjax.models.conv_nets.vgg import SpikingVGG as SpikingVGG
from snnjax.models.conv_nets.vgg import SpikingVGGConfig as SpikingVGGConfig
