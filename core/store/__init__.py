"""The stock registry behind us: its HTTP API, its files, and the tokens it trusts. No rules."""
