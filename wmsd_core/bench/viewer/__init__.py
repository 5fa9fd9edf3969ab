"""The page of one evaluation: every item, to be filtered and looked at one by one. It asks nothing of any network."""

from wmsd_core.bench.viewer.page import Written, write_page

__all__ = ["Written", "write_page"]
