"""The page of a run or of an evaluation, one HTML file without network or scripts, and its pieces."""
