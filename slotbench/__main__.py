"""`python -m slotbench`: the command line, by this interpreter and this code."""

from slotbench.cli import main

main()
