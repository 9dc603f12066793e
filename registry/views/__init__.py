"""What each /v2 operation answers."""
