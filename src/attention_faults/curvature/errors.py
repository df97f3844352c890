"""The one error of this package that is about the model, and not about a call."""


class CurvatureError(RuntimeError):
    """Second derivatives of a loss that cannot be had, or cannot be trusted, with what to do about it."""
