"""slotbench settles what the paper *Slot Machines* (Aladago and Torresani, 2021) claims."""

__version__ = "0.1.0"
