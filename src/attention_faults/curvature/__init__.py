"""Curvature of any PyTorch loss by named blocks of parameters: products, estimates, checks."""
