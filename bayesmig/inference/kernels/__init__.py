"""Log densities and gradients as plain loops, of which :mod:`bayesmig.families.machine` makes machine code."""
