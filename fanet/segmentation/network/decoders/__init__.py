"""Decoders: from the maps of a backbone to an embedding."""
