"""The VPC of the emulated AWS account, with hosts that boot; for root.

network.py         a bridge in namespaces of its own, and the cable to this machine
cgroups.py         the control groups of hosts
resolver.py        the VPC's resolver, which serves the private zones
hypervisor.py      follows EC2: starts and stops the host of each instance
host.py            one host: a machine that boots from an overlay of the base image
status_checks.py   what EC2's status checks of a host find
base_image.py      the disk that every host starts from, built once
"""
