"""Values on segments of the line, and the arithmetic that encloses them."""
