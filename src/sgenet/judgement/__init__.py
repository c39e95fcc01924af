"""What the steps left on disk, read and judged: cells and claims with their verdicts."""
