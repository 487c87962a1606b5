"""The tasks. A task asks another room for a decision about its environment, shows it, and carries it out.

| file | tasks |
|---|---|
| command.py | what turns a function of an environment into a task |
| preparing.py | what a deploy needs, what it would change, what fits and what it costs |
| deploying.py | deploy, roll back and destroy |
| seeing.py | what runs, what was deployed, what it writes, what happened |
| operating.py | how the endpoint answers, and how fast |
| gateway.py | the gateway, its DNS records and its alarms |
| setup.py | what the service needs in an AWS account and on GitHub |
"""
