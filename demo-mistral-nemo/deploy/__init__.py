"""Deploys a service as its files say: plan, show, apply, follow, remove.

| file | what it does |
|---|---|
| environments.py | reads an environment: its file over dstack/, and where to deploy |
| settings.py | the keys of an environment's file |
| git.py | asks git for the commit, and for the files of an earlier one |
| deployments.py | the metadata of the last deployments, which rides along in the run |
| documents/ | checks the merged documents before dstack is asked |
| api.py, dstack/ | talks to the dstack server |
| observing.py | asks the dstack server for events, measurements and logs |
| offers.py | asks dstack for the machines that the service may rent |
| changes.py | classifies what happens to running replicas |
| plans.py | the plan: what is shown, and exactly what is sent |
| planning.py | asks dstack and AWS for the plan |
| guards.py | refuses what a plan must not do |
| outdated.py | refuses a plan when somebody else changed something after it was shown |
| rollout.py | applies the plan of fleet and service, and follows the service until it is ready |
| readiness.py | says how far a rollout is |
| reaching.py | asks a gateway replica by its address for the service |
| instances.py | asks EC2 for the instances of a gateway |
| gateway_choice.py | chooses which of an environment's two gateway names is used |
| gateways.py | applies the plan of gateway, records and alarms: creates, replaces and deletes the gateway |
| records.py | decides who owns records, and which changes they need |
| route53.py | reads and writes the records in Route 53 |
| alarms.py | decides which alarms the gateway's instances need |
| cloudwatch.py | reads and writes the alarms in CloudWatch |
| ownership.py | tags that say for which service something in AWS was made |
| existing.py | finds existing resources, also those that the files do not name |
| removal.py | removes resources, and stops the run |
| billing.py | shows what runs and what it costs when a command ends early |
| views.py | shows plans, secrets, documents, gateways and records |
"""

from typing import TYPE_CHECKING

from console.lazy import modules_of

if TYPE_CHECKING:
    from deploy import api as api
    from deploy import billing as billing
    from deploy import cloudwatch as cloudwatch
    from deploy import deployments as deployments
    from deploy import documents as documents
    from deploy import environments as environments
    from deploy import existing as existing
    from deploy import gateway_choice as gateway_choice
    from deploy import gateways as gateways
    from deploy import git as git
    from deploy import guards as guards
    from deploy import observing as observing
    from deploy import offers as offers
    from deploy import outdated as outdated
    from deploy import planning as planning
    from deploy import reaching as reaching
    from deploy import removal as removal
    from deploy import rollout as rollout
    from deploy import route53 as route53
    from deploy import views as views
else:
    __getattr__ = modules_of(__name__)
