"""Verification of a replication: what its report states is derived again from the raw results."""
