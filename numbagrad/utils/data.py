"""``numbagrad.data`` under PyTorch's name for it, so that a script needs only its import line changed."""

from ..data import *  # noqa: F403
from ..data import __all__ as __all__
