"""The token service (Docker token specification)."""
