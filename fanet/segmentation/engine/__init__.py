"""What is done with a network: training and evaluation."""
