"""Training of memory models. Knows files of questions and passages; never the service."""
