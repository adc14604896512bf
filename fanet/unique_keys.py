"""YAML in which no key is written twice: plain YAML readers keep the last value, and drop the others in silence."""

from collections.abc import Hashable
from typing import Any

import yaml


class UniqueKeyLoader(yaml.SafeLoader):
    """Reads YAML as `yaml.SafeLoader` does, but refuses a mapping that has a key twice.

    Raises:
        yaml.YAMLError: The text is not YAML, or has a key twice; it says which, and in which lines.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        # Keys that are merged in by << come later, and may be overridden.
        lines: dict[Hashable, int] = {}
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key, line = self.construct_object(key_node), key_node.start_mark.line + 1
            if key in lines:
                raise yaml.YAMLError(
                    f"the key {key_node.value} is in line {lines[key]} and again in line {line}: keep one of them"
                )
            lines[key] = line
        return super().construct_mapping(node, deep)
