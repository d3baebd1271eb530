"""A notebook for many people, each of whom sees their own notes only."""
