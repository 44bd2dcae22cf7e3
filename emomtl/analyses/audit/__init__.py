"""`emomtl data audit`: what is wrong with the rows of a run, before it trains on them."""

from emomtl.analyses.audit.whole import SAMPLE, Wanted, audit, known_kinds, refused

__all__ = ["SAMPLE", "Wanted", "audit", "known_kinds", "refused"]
