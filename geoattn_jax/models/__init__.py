"""The papers' networks, one in each file, with the layers named as in the papers' figures."""
