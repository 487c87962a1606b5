"""The dstack server's HTTP API, below the calls of api.py.

| file | what it does |
|---|---|
| client.py | sends a request, asks again, looks up what a lost answer was about |
| refusals.py | what the server's refusals mean, as a table |
| answers.py | the parts of its answers that are read |
| polling.py | waits |
"""
