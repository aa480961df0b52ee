"""Who must say yes, and what may be spent: `consent.py` decides, `provenance.py` joins labels, `budget.py` meters."""
