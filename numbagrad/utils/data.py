"""``numbagrad.data`` under PyTorch's name for it, so that a script needs only its import line changed; likewise the modules in it."""

from ..data import *  # noqa: F403
from ..data import __all__ as __all__
from ..data import dataset as dataset
from ..data import distributed as distributed
from ..data import loader as dataloader  # noqa: F401
from ..data import sampler as sampler
