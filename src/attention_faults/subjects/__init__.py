"""The models under study and their tasks."""
