"""Image datasets."""

from .base import VisionDataset
from .digits import Digits
from .fake import FakeData
from .mnist import MNIST, FashionMNIST

__all__ = ["MNIST", "Digits", "FakeData", "FashionMNIST", "VisionDataset"]
