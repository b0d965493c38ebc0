"""What `make` runs: brings a stack up, shows it, takes it away. Plain `pulumi` does the work.

`python -m console VERB`: a verb is a file in `verbs/`.
"""

import submission as submission  # with it come the programs of pods: usage.py, cluster_driver.py
