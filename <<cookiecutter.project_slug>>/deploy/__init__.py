"""What brings a service to what its files say: plan, show, apply, follow, remove.

| file | what it does |
|---|---|
| environments.py | reads an environment: its file over dstack/, and where to deploy |
| documents/ | checks the merged documents before dstack is asked |
| api.py, dstack/ | talks to the dstack server |
| offers.py | asks dstack for the machines that the service may rent |
| changes.py | classifies what happens to running replicas |
| plans.py | asks what a deploy would change |
| guards.py | refuses what a plan must not do |
| rollout.py | applies the plan of the service, and follows it until it is ready |
| gateways.py | creates, recreates and deletes the gateway |
| dns.py | the records in Route 53 |
| existing.py | finds and removes what exists, named by the files or not |
| billing.py | says what runs and costs when a command ends early |
| views.py | shows all that |
"""

from typing import TYPE_CHECKING

from console.lazy import modules_of

if TYPE_CHECKING:
    from deploy import api as api
    from deploy import billing as billing
    from deploy import dns as dns
    from deploy import documents as documents
    from deploy import environments as environments
    from deploy import existing as existing
    from deploy import gateways as gateways
    from deploy import guards as guards
    from deploy import offers as offers
    from deploy import plans as plans
    from deploy import rollout as rollout
    from deploy import views as views
else:
    __getattr__ = modules_of(__name__)
