"""Readers of published test sets from local files: one small module for each."""
