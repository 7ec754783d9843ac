"""Human labels: a blind random sample of image turns, a page for labelling them, and merging the labels."""
