"""What every result is: its variables, dims and groups, and whether it is as it was made."""
