"""Who must say yes, and what may be spent.

Read `rule.py` first: it is the rule of consent. `gate.py` judges each call by it, on labels that `provenance.py` joins,
with the owner's `own_rules.py`; `consent.py` says it in words; `words.py` knows what the person typed; `forecast.py`
tells beforehand what will be asked. `grants.py` and `this_task.py` are yeses for more than one call; `budget.py`
meters.
"""
