"""Methods of explanation, by families; importing this fills their registry."""

import symbolic.explanations.methods.deep_lift
import symbolic.explanations.methods.gradients  # noqa: F401
