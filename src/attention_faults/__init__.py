"""Understanding and locating faults in attention-based neural networks."""
