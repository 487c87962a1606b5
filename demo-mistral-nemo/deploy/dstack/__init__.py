"""The dstack server's HTTP API, below the calls of api.py.

| file | what it does |
|---|---|
| client.py | sends a request, repeats it, and looks up whether a lost one was carried out |
| failures.py | turns an unexpected answer into a Failure with a remedy |
| refusals.py | what the server's refusals mean, as a table |
| answers.py, gateway.py | the parts of its answers that are read |
| observations.py | the same for events, measurements and logs |
| polling.py | waits |
"""
