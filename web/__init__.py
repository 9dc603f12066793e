"""HTML pages; no rules of its own."""
