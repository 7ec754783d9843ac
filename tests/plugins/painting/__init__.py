"""A package that adds one component of every kind; `entry_points.txt` beside this file declares them."""
