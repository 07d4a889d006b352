"""What a machine or a cluster gives to a cell: a GPU, memory, time."""
