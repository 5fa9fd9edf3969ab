"""The losses and advantages of the method, one file each: tensors and numbers in, tensors out.

Losses come back per sample, so that the caller divides by the size of the whole batch and a micro-batch changes nothing.
"""
