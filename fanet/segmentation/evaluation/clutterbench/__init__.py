"""ClutterBench: the score of any model along each cause of clutter, one cause at a time.

`axes.py` says what is swept, `bench.py` sweeps it, `table.py` holds the scores, `plot.py` and `page.py` show them.
"""
