"""Graph to graph: definitions inserted, control flow unrolled, monotone heads peeled."""
