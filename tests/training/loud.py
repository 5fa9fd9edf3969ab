"""A generator that speaks where events are listened for, as libraries do: when it is imported, and at work."""

import os

import numpy as np
from torch import Tensor

from tests.training.toy import ToyGenerator

print("imported")


class LoudGenerator(ToyGenerator):
    def decode(self, x_0: Tensor) -> np.ndarray:
        print("decoded")
        os.write(1, b"from below Python\n")
        return super().decode(x_0)
