"""Lets the torchvision of PyPI, which is built for CUDA, be imported beside a CPU build of torch.

torchvision registers Python kernels for two of its C++ operators as it is imported. On a CPU torch its C++ library cannot
be loaded, the operators do not exist, and the import fails with "operator torchvision::nms does not exist", which takes
open_clip, timm, transformers and peft down with it. Declaring the two signatures, and nothing else, is enough for the
Python part (transforms, models) to import; calling one of the operators still raises torchvision's own error.

torch calls `autoload` at the end of its own import, through the `torch.backends` entry point of pyproject.toml. It is a
module of its own because nothing heavier than torch may be imported at that moment. It does nothing where torchvision's
library loads (a CUDA build of torch), where torchvision is absent, or when TORCH_DEVICE_BACKEND_AUTOLOAD=0.
"""

from importlib.util import find_spec
from pathlib import Path

SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

_declared = None  # a torch Library unregisters its operators when it is collected, so it lives as long as the process


def autoload() -> None:
    """Declare torchvision's `nms` and `qnms` operators if its own library cannot."""
    global _declared
    import torch

    spec = find_spec("torchvision")
    if _declared is not None or spec is None or not spec.submodule_search_locations:
        return
    for folder in spec.submodule_search_locations:
        for library in sorted(Path(folder).glob("_C*.so")):
            try:
                torch.ops.load_library(str(library))
            except (OSError, ImportError):
                continue
            return
    _declared = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        _declared.define(operator + SIGNATURE)
