"""What `make` runs: brings a stack up, shows it, takes it away. Plain `pulumi` does the work.

`python -m console VERB`: a verb is a file in `verbs/`.
"""

import sys

from submission import programs

# What pods have beside their Python programs, the console has, too: usage.py, cluster_driver.py.
sys.path.append(str(programs.FOLDER))
