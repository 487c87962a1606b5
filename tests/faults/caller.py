"""Ask a service for chats by its name, until standard input is closed: `python caller.py HOST MODEL EVERY`.

The token comes from the variable TOKEN. Writes one line of JSON for each request: when it began, as time.time() has
it, and whether it was answered. Resolves the name each second, as most HTTP clients do at most.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import socket
import sys
import threading
import time
from contextlib import suppress

LIMIT_SECONDS = 30  # a caller that waits longer takes the request for lost


def main() -> None:
    host, model, every = sys.argv[1], sys.argv[2], float(sys.argv[3])
    address = [""]
    threading.Thread(target=resolve, args=(host, address), daemon=True).start()
    body = json.dumps({"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]})
    time.sleep(1)
    threads = []
    while not select.select([sys.stdin], [], [], every)[0]:
        threads.append(threading.Thread(target=ask, args=(host, address[0], body)))
        threads[-1].start()
    for thread in threads:
        thread.join()


def resolve(host: str, address: list[str]) -> None:
    """Keep the last address that the name had."""
    while True:
        with suppress(OSError):
            address[0] = socket.gethostbyname(host)
        time.sleep(1)


def ask(host: str, address: str, body: str) -> None:
    """Send one chat, and print whether it was answered."""
    began, answered = time.time(), False
    headers = {"Host": host, "Authorization": f"Bearer {os.environ['TOKEN']}", "Content-Type": "application/json"}
    with suppress(OSError, ValueError, http.client.HTTPException):  # it is lost then
        connection = http.client.HTTPConnection(address, timeout=LIMIT_SECONDS)
        connection.request("POST", "/v1/chat/completions", body, headers)
        answered = "choices" in json.loads(connection.getresponse().read())
        connection.close()
    sys.stdout.write(json.dumps([began, answered]) + "\n")  # at once: other threads write too
    sys.stdout.flush()


if __name__ == "__main__":
    main()
