"""The data sets that the six streams are trained on, behind one protocol."""
