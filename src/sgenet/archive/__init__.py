"""Archives of finished replications, their metadata, and the static site that publishes them."""
