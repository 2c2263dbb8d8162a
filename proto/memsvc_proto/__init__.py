"""The wire contract of memsvc; the generated Python of package `memsvc.v1` lies in `v1`."""
