"""The checker over boxes of inputs: bounds of what a network makes of all inputs of a box."""
