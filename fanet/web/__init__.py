"""The page to try a model on, in a browser: `fanet demo --web`.

`app.py` is the page, and a Hugging Face Space; `serving.py` runs it on this machine, `inputs.py` says what may be
segmented, `segmenting.py` segments it, and `views.py` makes of the result what the page shows. Needs the extra "web".
"""
