"""Any timm backbone with a decoder on top: build, run, save and load."""
