"""What the vendor's documentation suggests: one thread per job, a GET every few seconds.

usage: documented_loop.py BASE_URL FILE_OF_IDS INTERVAL WINDOW

Prints the CPU it took over WINDOW seconds once every thread polls, as JSON.
"""

import json
import sys
import threading
import time

import requests

BASE, IDS, INTERVAL, WINDOW = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
HEADERS = {"Authorization": "Bearer bench", "API-Version": "1"}


def poll(job, delay):
    time.sleep(delay)
    while True:
        # As documented: every call on a connection of its own.
        try:
            reply = requests.get(f"{BASE}/jobs/{job}", headers=HEADERS, timeout=120)
            reply.raise_for_status()
            if reply.json()["result"]["status"] == "success":
                return
        except requests.RequestException:
            pass
        time.sleep(INTERVAL)


with open(IDS) as lines:
    jobs = lines.read().split()
for number, job in enumerate(jobs):
    delay = INTERVAL * number / len(jobs)
    threading.Thread(target=poll, args=(job, delay), daemon=True).start()
time.sleep(INTERVAL)
cpu, begun = time.process_time(), time.monotonic()
time.sleep(WINDOW)
used, seconds = time.process_time() - cpu, time.monotonic() - begun
print(json.dumps({"cpu_percent": 100 * used / seconds}), flush=True)
