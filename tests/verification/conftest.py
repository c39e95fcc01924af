"""A small replication that was really run, as working folder."""

from support.verified import replication, verified

__all__ = ["replication", "verified"]
