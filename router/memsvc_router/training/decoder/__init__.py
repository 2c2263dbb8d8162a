"""Training of the published architecture (MSA.md §1-5) on any decoder that `memsvc_router.decoder`
runs."""
