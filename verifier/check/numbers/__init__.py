"""The checker's arithmetic: affine forms of integers, balls, discrete tensors."""
