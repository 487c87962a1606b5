"""A stand-in for the dstack server: in memory, with a clock of its own, and as fast as the tests of a property need.

It decides with dstack's own functions and models wherever those need no database: what a spec means, what can be
updated, what a replica is made of. It imitates the rest: the order in which replicas come and go, the clouds and the
endpoint. `recorded/` holds what the real server answered in one scenario, and a test compares.
"""
