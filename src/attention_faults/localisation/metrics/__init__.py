"""Metrics of blocks, one family a file; a new file is found by itself."""
