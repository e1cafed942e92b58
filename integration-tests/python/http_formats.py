"""What the formats of our OpenAPI document mean, for schemathesis: no pattern could say it.

selection: nodes by list, range and label. A range does not end before it begins.
"""

import schemathesis
from hypothesis import strategies as st

ids = st.integers(0, 10**9)
ranges = st.tuples(ids, st.integers(0, 100)).map(lambda ends: f"{ends[0]}-{ends[0] + ends[1]}")
lists = st.lists(ids.map(str) | ranges, min_size=1, max_size=5).map(",".join)
labels = st.sampled_from(["site=paris", "site!=paris", "site in (paris,lyon)", "site=paris,role!=db"])

schemathesis.openapi.format("selection", st.just("*") | lists | labels)
