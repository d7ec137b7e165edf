"""Fit a student on traces: examples, batches, losses, optimisers, loop, checkpoints."""
