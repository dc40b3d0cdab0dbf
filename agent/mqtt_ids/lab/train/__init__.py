"""Homes to train on: their tables of devices, rates and names. `unseen` shares none of them."""
