"""What reward models say of the completions in a file."""
