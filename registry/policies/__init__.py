"""Whether a push or pull may pass: one sentence a file; `routes.py` says where each applies."""
