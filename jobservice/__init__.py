"""Runs background work; does not know what the work is."""
