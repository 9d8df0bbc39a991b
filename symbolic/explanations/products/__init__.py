"""Vector-Jacobian products, by families of operators; importing this fills the registry."""

import symbolic.explanations.products.broadcasting
import symbolic.explanations.products.convolutions
import symbolic.explanations.products.elementwise
import symbolic.explanations.products.matrices
import symbolic.explanations.products.maxima
import symbolic.explanations.products.normalisation
import symbolic.explanations.products.picking
import symbolic.explanations.products.pooling
import symbolic.explanations.products.reductions
import symbolic.explanations.products.resampling
import symbolic.explanations.products.shapes
import symbolic.explanations.products.smooth  # noqa: F401
