"""Paper B, Table 2: freely initialized and supervised spatial transformers at three levels."""
