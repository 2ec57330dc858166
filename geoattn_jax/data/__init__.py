"""Input: digits, moving digits, kitchen scenes, as pure functions of (seed, step); videos and their flow."""
