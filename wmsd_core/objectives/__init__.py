"""The losses and advantages of the method, one file each: tensors and numbers in, tensors out.

Losses come back per sample: the caller divides by the size of the whole batch, so that micro-batches change nothing.
"""
