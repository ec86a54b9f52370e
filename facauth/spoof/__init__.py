"""Liveness and replay."""
