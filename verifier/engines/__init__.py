"""Engines that decide a line by its exact linear pieces: second opinions, without anything of the search."""
