"""The gate: a relay between two programs that breaks their connection on command (relay.py is the process)."""

from .control import Gate, GateProblem

__all__ = ["Gate", "GateProblem"]
