"""The search for cells, their certificate, and the independent checker of certificates."""
