"""What is asked, as frozen values without data: codebook, formula, priors, the study they belong to."""
