"""Comparisons with other libraries (`make peers`): they need torch, which the test environment has not."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]
