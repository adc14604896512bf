"""Record the arguments of timm's train.py, for the tests of the recipes.

    python tests/record_timm_arguments.py TIMM/train.py VERSION > tests/data/timm_train_arguments.json

VERSION names the release that train.py is from.
"""

import argparse
import json
import runpy
import sys


def record(script: str, version: str) -> dict:
    """Return the arguments of a train.py by their keys in --config."""
    parser: argparse.ArgumentParser = runpy.run_path(script)["parser"]
    return {
        "version": version,
        "arguments": {
            action.dest: {
                "options": list(action.option_strings),
                "action": type(action).__name__,
                "type": getattr(action.type, "__name__", None),
                "nargs": action.nargs,
                "choices": list(action.choices) if action.choices else None,
                "default": action.default,
            }
            for action in parser._actions
            if action.dest != "help"
        },
    }


if __name__ == "__main__":
    recorded = record(*sys.argv[1:])
    lines = (f"  {json.dumps(key)}: {json.dumps(argument)}" for key, argument in recorded["arguments"].items())
    print(f'{{\n "version": {json.dumps(recorded["version"])},\n "arguments": {{\n' + ",\n".join(lines) + "\n }\n}")
