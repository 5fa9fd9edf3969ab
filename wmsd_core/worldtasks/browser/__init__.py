"""The page of a workspace's frames and pairs: what became of each, to be filtered and tagged. It loads nothing."""

from wmsd_core.worldtasks.browser.page import Written, write_page

__all__ = ["Written", "write_page"]
