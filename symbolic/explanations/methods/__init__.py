"""Methods of explanation, by families; importing this fills their registry."""

import symbolic.explanations.methods.class_activation
import symbolic.explanations.methods.deep_lift
import symbolic.explanations.methods.gradients
import symbolic.explanations.methods.lime
import symbolic.explanations.methods.patterns
import symbolic.explanations.methods.perturbation
import symbolic.explanations.methods.relevance
import symbolic.explanations.methods.relevance_composites
import symbolic.explanations.methods.shapley
import symbolic.explanations.methods.sobol  # noqa: F401
