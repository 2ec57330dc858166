"""Input as a pure function of (seed, step): digits, moving digits, kitchen scenes, regions, record files."""
