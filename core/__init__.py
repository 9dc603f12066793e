"""Words and tools that every room uses; knows no other room."""
