"""Labelled pictures: read and decoded once, changed on the host, normalised on the device."""

from .augment import ImageAugment as ImageAugment
from .dataset import ImageSet as ImageSet
from .decode import decode as decode
from .decode import read_image as read_image
from .form import Form as Form
from .load import load_images as load_images
from .mix import mix as mix
from .mix import normalise as normalise
from .operations import OPERATIONS as OPERATIONS
from .operations import apply as apply
from .source import ImageSource as ImageSource
