"""Input as a pure function of (seed, step): digits, moving digits, record files."""
