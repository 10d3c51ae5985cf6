"""E-3DSNN finding the boxes of objects in LiDAR scans."""
