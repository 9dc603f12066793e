"""Rows to look at and to measure with: `manage.py seed_demo`."""
