"""The tasks of this service: `inv` shows them in the order of work, docs/reference.md has their flags.

A task asks a function of deploy/ or operate/ for a decision about its environment, shows it, and carries it out.

| file | tasks |
|---|---|
| preparing.py | what a deploy needs, what it would change, what fits and what it costs |
| deploying.py | deploy and destroy |
| operating.py | what runs, what it writes, how fast it answers |
| gateway.py | the gateway and its DNS records |
| setup.py | what the service needs in an AWS account and on GitHub |
"""

from invoke.collection import Collection

from console.invocation import refuse_misplaced_environment
from console.listing import show_if_asked
from tasks import deploying, gateway, operating, preparing, setup

namespace = Collection(
    *(preparing.doctor, preparing.server, preparing.render, preparing.plan, preparing.size, preparing.offers),
    *(operating.status, operating.logs, operating.smoke, operating.bench, operating.dstack, deploying.destroy),
)
namespace.add_task(deploying.deploy_all, name="deploy")
namespace.add_task(operating.variables, name="env")
namespace.add_collection(Collection("secrets", set=preparing.secrets_set, list=preparing.secrets_list))
namespace.add_collection(Collection("service", deploy=deploying.service_deploy))
namespace.add_collection(
    Collection("gateway", deploy=gateway.gateway_deploy, status=gateway.gateway_status, destroy=gateway.gateway_destroy)
)
namespace.add_collection(Collection("dns", update=gateway.dns_update, show=gateway.dns_show, delete=gateway.dns_delete))
namespace.add_collection(Collection("setup", aws=setup.setup_aws, github=setup.setup_github, remove=setup.setup_remove))
ORDER_OF_WORK = {  # for `inv` and `inv --list`
    "First deploy": ("server", "secrets.set", "secrets.list", "doctor", "size", "offers", "plan", "deploy", "env"),
    "Every day": ("status", "logs", "smoke", "bench", "render", "service.deploy", "dstack"),
    "An account": ("setup.aws", "setup.github"),
    "Gateway and DNS records": ("gateway.deploy", "gateway.status", "dns.update", "dns.show"),
    "Ending": ("dns.delete", "gateway.destroy", "destroy", "setup.remove"),
}
refuse_misplaced_environment()
show_if_asked(namespace, ORDER_OF_WORK)
