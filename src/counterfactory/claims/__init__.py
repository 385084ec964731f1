"""Claims: one runnable proof a system, `counterfactory/claims/<slug>.py`, and the runner."""

from counterfactory.claims._runner import Claim, Outcome, Progress, Verification, available, verify

__all__ = ["Claim", "Outcome", "Progress", "Verification", "available", "verify"]
