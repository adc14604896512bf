"""Look at a folder of images and labels as people keep them, and describe it: what `fanet init` does with data.

`tree.py` lists the files, `words.py` reads their names, `layout.py` pairs images and labels, `places.py` writes that
down as folders and patterns; `values.py`, `names.py` and `meaning.py` find out what the labels mean; `samples.py` looks
at each sample, `groups.py` finds what belongs together, and `dealing.py` splits validation images off. `survey.py`
calls them in this order.
"""

from fanet.segmentation.data.survey.drafts import draft_prefix, drafted, write_new
from fanet.segmentation.data.survey.survey import Survey, survey_folder

__all__ = ["Survey", "draft_prefix", "drafted", "survey_folder", "write_new"]
