"""The OCI distribution conformance suite against the whole platform."""
