"""The instants at which croniter has jobs due: an implementation that is not ours.

usage: croniter_instants.py FILE     a JSON list of {"spec", "zone", "start", "end", "bug"}

Prints a JSON list of lists: for each, the seconds since 1970 after start and before end.
`bug` has croniter take a day's field that begins with * for unrestricted, as Vixie's cron does.
"""

import json
import sys
import zoneinfo
from datetime import datetime

from croniter import croniter
from croniter.croniter import CroniterBadDateError

# The rules of the zones are those of the package tzdata, whatever the machine has.
zoneinfo.reset_tzpath(to=[])


def instants(query):
    start = datetime.fromtimestamp(query["start"], zoneinfo.ZoneInfo(query["zone"]))
    times = croniter(query["spec"], start, implement_cron_bug=query["bug"])
    found = []
    while True:
        try:
            instant = times.get_next(float)
        except CroniterBadDateError:
            return found
        if instant >= query["end"]:
            return found
        found.append(int(instant))


with open(sys.argv[1]) as file:
    print(json.dumps([instants(query) for query in json.load(file)]))
