"""Training of the small memory model: where to look, what matters, where the answer stands."""
