"""The GPU clouds and what belongs to them, as HTTP servers at the real host names.

listener.py       one TLS listener for all emulated hosts: who answers, which fault hits, the log of calls
runpod.py         RunPod's API v2
vastai.py         Vast.ai's API
catalogue.py      gpuhunt's price catalogue, from which dstack takes RunPod's offers
registry.py       container registries, in which every image exists
inventory.py      what the clouds rent out: types of GPUs, machines, prices
inventory.yml     the data of it
rentals.py        the rented machines: their pods, and what they cost
pod_info.py       what the sandbox tells a user about a rented machine
"""
