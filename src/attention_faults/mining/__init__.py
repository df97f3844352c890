"""From queries to candidate threads: transport, raw archive, one adapter a source, screening."""
