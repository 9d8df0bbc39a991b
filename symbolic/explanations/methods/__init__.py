"""Methods of explanation, by families; importing this fills their registry."""

import symbolic.explanations.methods.gradients  # noqa: F401
