"""The papers' experiments: each wires data, a model and phases together and gives rows for results.json."""
