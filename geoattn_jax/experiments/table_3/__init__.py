"""Paper B, Table 3: six streams, pooled over all frames of a clip, and fused."""
