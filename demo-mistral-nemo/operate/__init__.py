"""The tasks of a person with a service, besides deploying it.

| file | what it does |
|---|---|
| doctor.py | checks that server, token, project, clouds and secrets are in place |
| status.py | describes the replicas, and what they cost |
| history.py | what was deployed, by whom, and what became of it |
| rollback.py | takes the files of an earlier deployment from git |
| incidents.py | says why nothing serves, since when, and what to type |
| logs.py | reads what the containers wrote |
| surroundings.py | looks at gateway, records and alarms |
| metrics.py, metrics_view.py | numbers of machines and engines |
| events.py | lists what happened |
| pages.py | opens dstack's page of the service |
| times.py | reads and writes spans of time |
| calling.py | variables for a shell, and a request to paste |
| smoke.py, endpoint.py | asks the endpoint like a caller |
| kind.py | the kind of model that this service serves |
| the file with the name of its kind of model, such as chat.py | what the smoke test asks this service's kind of model |
| bench.py, bench.yml | loads the endpoint |
| measurements.py | what a load test measures, and its report |
| health.py | the verdict on a gateway: rules over what was seen |
| gateway_look.py, gateway_view.py | looks at a gateway from all sides; shows the verdict |
| recovery.py, recovering.py | the steps that recover a gateway; carries them out |
| sizes.py | how a model fits the machines on offer |
| server.py | runs a dstack server on this machine |
| dstack_cli.py | runs the dstack command line with this environment's server and token |
| views.py | shows the results |
"""

from typing import TYPE_CHECKING

from console.lazy import modules_of

if TYPE_CHECKING:
    from operate import bench as bench
    from operate import calling as calling
    from operate import doctor as doctor
    from operate import dstack_cli as dstack_cli
    from operate import events as events
    from operate import gateway_look as gateway_look
    from operate import gateway_view as gateway_view
    from operate import health as health
    from operate import history as history
    from operate import logs as logs
    from operate import measurements as measurements
    from operate import metrics as metrics
    from operate import metrics_view as metrics_view
    from operate import pages as pages
    from operate import recovering as recovering
    from operate import rollback as rollback
    from operate import server as server
    from operate import sizes as sizes
    from operate import smoke as smoke
    from operate import status as status
    from operate import surroundings as surroundings
    from operate import times as times
    from operate import views as views
else:
    __getattr__ = modules_of(__name__)
