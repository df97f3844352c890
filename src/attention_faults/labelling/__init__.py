"""From independent ratings to an agreed dataset."""
