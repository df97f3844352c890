"""What can be broken in a model under study: where, how hard, and which blocks are then at fault."""
