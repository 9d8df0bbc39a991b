"""Engines that decide a line by its exact linear pieces: second opinions that share nothing with the search."""
