"""Models and arrays from files that may have been made to do harm."""
