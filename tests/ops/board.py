"""Owns the way from a Grafana board to rules that promtool can check: each expression becomes one.
Never judges them: promtool does.

board.py BOARD > RULES
"""

import json
import sys

board = json.load(open(sys.argv[1]))
rules = []
for panel in board["panels"]:
    for target in panel["targets"]:
        expression = target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
        rules.append({"record": f"board:{len(rules)}", "expr": expression})
json.dump({"groups": [{"name": board["title"], "rules": rules}]}, sys.stdout)
