"""What we need of timm that has no public name.

`feature_take_indices` turns the `indices` of `forward_intermediates` into stage numbers with timm's own rules and
messages; every model in timm uses it, but only from `timm.models._features`.
"""

from timm.models._features import feature_take_indices

__all__ = ["feature_take_indices"]
