"""Counterfactory: learn the causes inside generative models, intervene on them, edit them, and check the results."""

__version__ = "0.1.0"
