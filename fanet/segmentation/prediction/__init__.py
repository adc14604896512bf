"""From images to label maps, with whatever runs the network."""
