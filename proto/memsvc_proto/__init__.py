"""memsvc."""
