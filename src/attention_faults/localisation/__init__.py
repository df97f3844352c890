"""Where in a model is the fault? Metrics of blocks, how they rank, and how well: the verdict."""
