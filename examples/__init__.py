"""Four small programs over the SDK: what agents do with a memory. docs/examples.md shows them."""
