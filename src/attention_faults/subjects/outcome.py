"""How a training run ends."""

FINISHED, CRASHED = "finished", "crashed"
