"""What is shown of the table: verdicts, figures, tables, pages."""
