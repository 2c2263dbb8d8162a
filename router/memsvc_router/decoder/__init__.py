"""A memory model on any transformers decoder (Memory Sparse Attention, EverMind).

`loading` reads checkpoints, `attention` and `passes` put memory into the model's own layers,
`encoding` makes blocks, `gathering` and `model` interleave and answer.
"""
