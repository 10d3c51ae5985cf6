"""E-3DSNN giving every point of a LiDAR scan a class."""
