"""What callers lose when something fails: each fault is made on a real service, and measured.

| module | job |
|---|---|
| faults.py | the faults: how each is made, and what heals it |
| measuring.py | the service, its callers inside the VPC, and what they lose |
| caller.py | the program that asks |
| table.py | the table in docs/faults.md |
| __main__.py | `inv benchmark --faults` |
"""
