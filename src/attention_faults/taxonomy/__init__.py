"""The taxonomy study: what fails in attention-based networks, why, and what it looks like."""
