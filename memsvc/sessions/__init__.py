"""Sessions: what a turn becomes as a document, what a session may be reminded of, and the text that
reminds. Knows documents, turns and the model's questions; nothing of stores or the wire."""
