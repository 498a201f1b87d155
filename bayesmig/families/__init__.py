"""What an outcome may be: a record a family of distributions, of plain functions of arrays."""
