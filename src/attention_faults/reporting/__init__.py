"""Tables, figures and records of how they came about."""
