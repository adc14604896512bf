"""From images to label maps, with any engine that runs the network."""
