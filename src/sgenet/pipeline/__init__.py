"""The steps of a replication, and what surrounds them."""
