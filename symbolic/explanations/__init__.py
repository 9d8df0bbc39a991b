"""Explanations of networks as graphs: a model in, a model that also outputs the attribution out."""
