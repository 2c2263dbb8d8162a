"""One module per schema revision, in order; a released one is never edited."""
