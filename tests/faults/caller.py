"""Ask a service for chats by its name, until standard input is closed: `python caller.py HOST MODEL EVERY KEPT …`.

KEPT is the number of seconds for which a caller keeps an address. There is one caller for each KEPT, and it sends a
chat every EVERY seconds. The token comes from the variable TOKEN. Writes one line of JSON for each request: KEPT, when
it began (time.time()), and whether it was answered.
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
    host, model, every, *kinds = sys.argv[1:]
    known = dict.fromkeys(map(int, kinds), "")
    for kept in known:
        threading.Thread(target=resolve, args=(host, known, kept), daemon=True).start()
    body = json.dumps({"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]})
    time.sleep(1)
    threads = []
    while not select.select([sys.stdin], [], [], float(every))[0]:
        for kept, address in known.items():
            threads.append(threading.Thread(target=ask, args=(host, kept, address, body)))
            threads[-1].start()
    for thread in threads:
        thread.join()


def resolve(host: str, known: dict[int, str], kept: int) -> None:
    """Look up the name again and again. While it does not resolve, keep the last address that it had."""
    while True:
        with suppress(OSError):
            known[kept] = socket.gethostbyname(host)
        time.sleep(kept)


def ask(host: str, kept: int, address: str, body: str) -> None:
    """Send one chat, and print whether it was answered."""
    began, answered = time.time(), False
    headers = {"Host": host, "Authorization": f"Bearer {os.environ['TOKEN']}", "Content-Type": "application/json"}
    with suppress(OSError, ValueError, http.client.HTTPException):  # it is lost then
        connection = http.client.HTTPConnection(address, timeout=LIMIT_SECONDS)
        connection.request("POST", "/v1/chat/completions", body, headers)
        answered = "choices" in json.loads(connection.getresponse().read())
        connection.close()
    sys.stdout.write(json.dumps([kept, began, answered]) + "\n")  # at once: other threads write too
    sys.stdout.flush()


if __name__ == "__main__":
    main()
