"""The damage that `fuzz.py` does, and what it does it to."""
