"""Running the whole platform on one machine without Docker: standard library only."""
