"""Image datasets."""

from .base import VisionDataset
from .cifar import CIFAR10, CIFAR100
from .digits import Digits
from .fake import FakeData
from .folder import DatasetFolder, ImageFolder
from .mnist import KMNIST, MNIST, FashionMNIST

__all__ = ["CIFAR10", "CIFAR100", "KMNIST", "MNIST", "DatasetFolder", "Digits", "FakeData", "FashionMNIST", "ImageFolder", "VisionDataset"]
