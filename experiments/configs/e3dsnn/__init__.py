"""E-3DSNN on point clouds."""
