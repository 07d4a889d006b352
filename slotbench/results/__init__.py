"""What training leaves: records, the table made from them, and whether they still stand."""
