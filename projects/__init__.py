"""What is stored, and the rules that its owners set."""
