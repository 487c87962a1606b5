"""The names of the flags of `vllm serve`, short and long, for each flag: `python flag_names.py > ANSWER`.

Run by the interpreter of vLLM's environment. Nothing is loaded.
"""

from __future__ import annotations

import json
import sys

from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser

if __name__ == "__main__":
    actions = make_arg_parser(FlexibleArgumentParser())._actions
    json.dump([action.option_strings for action in actions if action.option_strings], sys.stdout)
