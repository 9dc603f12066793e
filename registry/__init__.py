"""The door docker knocks on (OCI distribution API)."""
