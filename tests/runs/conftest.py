"""The tiny run, as the tests of training have it."""

from tests.train.conftest import finished as finished
from tests.train.conftest import no_pictures as no_pictures
