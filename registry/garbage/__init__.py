"""Garbage collection while people push and pull: what nobody needs any more leaves the store, links before data."""
