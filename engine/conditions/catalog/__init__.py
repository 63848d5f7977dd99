"""The registry's entries, a file a family."""
