"""Repositories with made-up results as working folder."""

from support.repositories import everything, replication, repository

__all__ = ["everything", "replication", "repository"]
