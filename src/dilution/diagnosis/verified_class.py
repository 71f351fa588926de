"""What is known of the true class of an example that somebody has looked up."""

WRONG_CLASS_UNKNOWN = -2
"""The verified class of an example whose label somebody found wrong without saying which class is right.

−1 is that of an example that nobody has looked up.
"""
