"""An AWS account, emulated: moto with stricter Route 53, and EC2 instances that are real hosts.

__main__.py        the process behind the account: starts the API, the VPC and its hosts
aws_process.py     that process as the sandbox's world sees it
aws_state.py       the settings of the process, and what it reports when it is ready
aws_account.py     `Sandbox.aws`: the account for a user of the sandbox
commands.py        the commands of `python -m sandbox` that are about AWS
aws_calls.py       the log of calls to the account
instance_info.py   what the sandbox tells a user about an EC2 instance
hosts.py           what breaks the hosts, what EC2 does to them, what it measures
api/               the APIs: moto, IAM, Route 53, CloudWatch
alarms/            evaluates CloudWatch's alarms, and lets them act
vpc/               the VPC: its network, its resolver, its hosts
"""
