"""One page a file: parse, call one function, render."""
