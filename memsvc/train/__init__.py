"""`memsvc train`: training from files and from banks, on the command line."""
