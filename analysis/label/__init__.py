"""Labels by humans: a blind random sample of image turns, a page to label it on, and the way back."""
