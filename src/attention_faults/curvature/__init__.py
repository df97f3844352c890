"""Curvature of any PyTorch loss by named blocks of parameters: products, estimates, checks.

It knows nothing of the rest of `attention_faults`, and is to be used on anybody's model.
"""

from attention_faults.curvature.errors import CurvatureError
from attention_faults.curvature.gradients import GradientProfile, batch_gradient_profile, gradient_profile
from attention_faults.curvature.operators import BlockHessian, EmpiricalFisher, GaussNewton, Objective
from attention_faults.curvature.preflight import Preflight, preflight
from attention_faults.curvature.profile import (
    BUDGETS,
    ECONOMY,
    FULL,
    STANDARD,
    Budget,
    Profile,
    curvature_profile,
    profile_operator,
)

__all__ = [
    "BUDGETS",
    "ECONOMY",
    "FULL",
    "STANDARD",
    "BlockHessian",
    "Budget",
    "CurvatureError",
    "EmpiricalFisher",
    "GaussNewton",
    "GradientProfile",
    "Objective",
    "Preflight",
    "Profile",
    "batch_gradient_profile",
    "curvature_profile",
    "gradient_profile",
    "preflight",
    "profile_operator",
]
