"""Wharf in containers: what the image becomes, and how the programs get their keys and configuration files."""
