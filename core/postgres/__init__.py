"""Django's PostgreSQL backend, whose question whether a connection still lives costs no round trip."""
