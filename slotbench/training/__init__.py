"""Training: one cell, from its recipe to its record."""
