"""`python -m sandbox.engine` is the command `vllm`."""

from sandbox.engine.serve import main

main()
