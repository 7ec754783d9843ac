"""The pages of docs/reference, printed from what the code declares."""
