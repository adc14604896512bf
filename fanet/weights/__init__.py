"""How numbers enter and leave: the authors' parameter names, checkpoint files, and what they turn into."""
