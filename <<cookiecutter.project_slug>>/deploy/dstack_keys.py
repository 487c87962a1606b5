"""What the pinned dstack knows: keys of its files, and which of them it changes without new replicas.

The template compares these with the installed package, so an upgrade that changes them turns its tests red.
"""

# dstack._internal.server.services.runs.spec: the "in-place" fields; other fields that it can update are rolled out
# replica by replica, and dstack itself (`action` of a plan) says which can't be updated at all.
IN_PLACE = frozenset({"groups", "gateway", "priority", "replicas", "scaling"})

_OF = {
    "service": """
        type name image user privileged entrypoint working_dir home_dir registry_auth python nvcc single_branch env
        shell resources volumes docker repos files dstack setup commands port gateway strip_prefix model https auth
        scaling rate_limits probes replicas groups priority backends regions availability_zones instance_types
        reservation spot_policy retry max_duration stop_duration max_price creation_policy idle_duration
        utilization_policy startup_order stop_criteria schedule fleets instances tags backend_options
    """,
    "gateway": """
        type name default backend region instance_type domain public_ip load_balancer certificate replicas tags
    """,
    "fleet": """
        type name env ssh_config nodes placement reservation resources blocks backends regions availability_zones
        instance_types spot_policy retry max_price idle_duration tags backend_options
    """,
}
OF = {kind: frozenset(keys.split()) for kind, keys in _OF.items()}
