"""A dstack server, its proxy and AWS, in memory: enough to run every task of this repository in a test.

| file | what it does |
|---|---|
| server.py | answers calls over HTTP |
| routes.py | checks question and answer with the models of dstack's own routes |
| runs.py | runs: plans, deployments, replicas that become ready or crash |
| resources.py | fleets and gateways |
| machines.py | the offers of the clouds, and what a rented machine looks like |
| endpoint.py | the deployed model |
| aws.py | the AWS account: network, security groups, roles, and the next two |
| route53.py | hosted zones and records, behind boto3's client |
| cloudwatch.py | alarms, and the instances that they watch |

What can be updated in place and what a written value means is decided by dstack's own functions.
"""

import dstack._internal.server.services.backends  # noqa: F401  # dstack's modules import each other: this one is first
