"""What both tables of paper B (Liu et al. 2019) share: the attention task, samples, networks, trainings."""
