"""The whole platform, as `make up` starts it, tried from outside."""
