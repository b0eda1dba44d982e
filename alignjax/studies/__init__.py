"""What trains and evaluates in turn, to tell how far learning carries."""
