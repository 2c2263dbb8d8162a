"""The demonstration behind `make demo`: a real server, a real corpus, questions over the SDK."""
