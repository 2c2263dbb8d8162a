"""Alembic's scripts; run by `memsvc_storage.schema`, never by hand."""
