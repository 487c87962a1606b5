"""The APIs of the emulated AWS account.

moto_server.py     the HTTP server: moto, and what AWS has no API for
interception.py    what every call passes: faults, IAM, moto, the log
iam.py             which calls the policies of a user permit
strict.py          where moto is made as strict as AWS
cloudwatch.py      where moto's alarms act, and its status checks are those of hosts
record_sets.py     which changes of record sets Route 53 accepts
landscape.py       what the account has from the start: VPC, subnets, zones, an image
moto_contents.py   what moto keeps of instances and zones, read without a call
"""
