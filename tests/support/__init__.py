"""What tests share: made-up data and results, mutated inputs, faults of the machine, checkouts of the project."""
