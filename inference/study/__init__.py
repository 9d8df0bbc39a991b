"""A study of p-values: declared in one TOML file, streamed to disk, resumed, summarised, drawn."""
