"""Real vLLM in the pods, on this machine's CPU: `python -m sandbox up --engine vllm`.

install.py   installs vLLM's CPU build, once, in an environment of its own
model.py     makes the model that it serves when nobody gave one: random weights
__main__.py  is the command `vllm` in a pod: it runs the service's command line as it is
lines.py     asks vLLM's own argument parser and registries about command lines
kv_cache.py  asks vLLM's own code what a model's layers take of a GPU's memory
"""
