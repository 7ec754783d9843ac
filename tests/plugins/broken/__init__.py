"""A package whose components cannot be used, each for a reason of its own."""
