"""Pictures and videos as arrays. Apart from the tensors of `shapes`: reading a picture must not import torch.

B  pictures or videos of a batch     T  frames of a video     H, W  height and width in pixels     3  red, green, blue
"""

import numpy as np
from jaxtyping import UInt8

Image = UInt8[np.ndarray, "H W 3"]
Images = UInt8[np.ndarray, "B H W 3"]
Video = UInt8[np.ndarray, "T H W 3"]
Videos = UInt8[np.ndarray, "B T H W 3"]
