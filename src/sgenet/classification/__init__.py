"""Training and evaluation of classifiers."""
