"""What several tests and benchmarks make up: checkpoints, sets, plain references."""
