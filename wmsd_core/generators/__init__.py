"""Image-to-video flow-matching models behind one protocol.

The Demonstrator and the Executor are two conditions and adapters of one loaded set of weights: the Demonstrator is
`velocity(..., condition of the detailed solution, adapter=None)`, the Executor `velocity(..., condition of the short
task, adapter="policy")`.
"""

from wmsd_core.generators.protocol import Adapter, Condition, Generator

__all__ = ["Adapter", "Condition", "Generator"]
