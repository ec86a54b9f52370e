"""Evaluation on folders of photos: what is tried, how it went, and the rates of it."""
