"""GPU kernels of run groups: all replicas of a ConvNet in one launch, each with weights of its own."""
