"""The process behind a sandbox, and what it shares with its owner.

__main__.py          the process itself: starts clouds, pods, AWS and the dstack server, and ends them all
world_process.py     that process as its owner sees it
world_state.py       the settings of the process, and the addresses and tokens that it writes to its folder
control.py           its own API, for the `Sandbox` class and the command line
client.py            the caller's side of that API, and of the others that a running sandbox has
faults.py            the faults that emulated clouds show
fault_injection.py   `Sandbox.faults`: what a user lets fail
calls.py             the log of calls to the emulated hosts
proxy.py             the way out of the dstack server: to the emulated hosts and nowhere else
front.py             a proxy before the dstack server, for faults of its answers
dstack_server.py     the real dstack server
dstack_database.py   an empty database of it, with its tables, made once
processes.py         processes that must not outlive the sandbox, and programs that must be installed
cache.py             where the sandbox keeps what is made once
"""
