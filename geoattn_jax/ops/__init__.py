"""Pure functions on arrays: grids, sampling, deformable convolution. The only place with coordinates."""
