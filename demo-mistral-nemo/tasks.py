"""Names the tasks, in the order in which `inv` lists them. commands/ has the tasks, docs/reference.md their flags."""

from invoke.collection import Collection

from commands import deploying, gateway, operating, preparing, seeing, setup
from console.invocation import refuse_misplaced_environment
from console.listing import refuse_unknown_task, show_if_asked

namespace = Collection(
    *(preparing.doctor, preparing.server, preparing.render, preparing.plan, preparing.size, preparing.offers),
    *(seeing.status, seeing.history, seeing.logs, seeing.metrics, seeing.events, seeing.ui),
    *(operating.smoke, operating.bench, operating.dstack, deploying.rollback, deploying.destroy),
)
namespace.add_task(deploying.deploy_all, name="deploy")
namespace.add_task(operating.variables, name="env")
namespace.add_collection(Collection("secrets", set=preparing.secrets_set, list=preparing.secrets_list))
namespace.add_collection(Collection("service", deploy=deploying.service_deploy))
namespace.add_collection(
    Collection(
        "gateway",
        deploy=gateway.gateway_deploy,
        status=gateway.gateway_status,
        check=gateway.gateway_check,
        recover=gateway.gateway_recover,
        destroy=gateway.gateway_destroy,
    )
)
namespace.add_collection(Collection("dns", update=gateway.dns_update, show=gateway.dns_show, delete=gateway.dns_delete))
namespace.add_collection(
    Collection("alarms", apply=gateway.alarms_apply, show=gateway.alarms_show, delete=gateway.alarms_delete)
)
namespace.add_collection(Collection("setup", aws=setup.setup_aws, github=setup.setup_github, remove=setup.setup_remove))
ORDER_OF_WORK = {  # for `inv` and `inv --list`
    "First deploy": ("server", "secrets.set", "secrets.list", "doctor", "size", "offers", "plan", "deploy", "env"),
    "Every day": (
        *("status", "logs", "metrics", "events", "ui", "history", "rollback", "smoke", "bench"),
        *("render", "service.deploy", "dstack"),
    ),
    "An account": ("setup.aws", "setup.github"),
    "Gateway, DNS records and alarms": (
        *("gateway.deploy", "gateway.status", "gateway.check", "gateway.recover"),
        *("dns.update", "dns.show", "alarms.apply", "alarms.show"),
    ),
    "Ending": ("alarms.delete", "dns.delete", "gateway.destroy", "destroy", "setup.remove"),
}
refuse_misplaced_environment()
show_if_asked(namespace, ORDER_OF_WORK)
refuse_unknown_task(namespace)
