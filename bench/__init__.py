"""What we measure: Wharf against a bare stock registry, interleaved in one run (`make bench`)."""
