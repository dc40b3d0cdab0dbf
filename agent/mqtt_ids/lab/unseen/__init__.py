"""Homes to judge by: other software, rates, topics and mixes than `train`, written apart."""
