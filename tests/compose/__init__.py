"""`make compose-check`: docker-compose.yml tried for real, with a Docker engine of its own."""
