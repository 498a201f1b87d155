"""Log densities and gradients as plain loops, of which :mod:`bayesmig.inference.kernels.machine` makes machine code."""
