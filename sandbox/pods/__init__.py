"""What runs in a rented machine: a pod is a folder and a small tree of processes.

Outside, in the process that starts the pod:

pod.py         starts a pod and ends it as a whole
spec.py        what a pod is asked to be
ssh.py         its SSH server, which forwards connections to the pod's ports
isolation.py   the namespaces of a pod, and the end of everything that runs in it
ports.py       how connections reach a port inside the namespaces; both sides use it

Inside, in namespaces of its own where they are permitted:

runner.py      the first process: dstack's runner API for the dstack server
job.py         the job on a terminal, as dstack's runner runs and stops it
container.py   the job's variables, and where its paths lie on this machine
history.py     the job's states and logs, as the dstack server pulls them
metrics.py     the figures that `dstack metrics` shows
bin/vllm       the command `vllm`: the stand-in of sandbox/engine, or the real one of sandbox/vllm
"""
