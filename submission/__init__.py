"""What a Spark application is and how it is run, for the components and the console alike.

Plain data and functions; nothing here knows Pulumi, the components or the console.
"""

import sys

from submission import programs

# What pods have beside their Python programs, those who run them have, too: why.py, usage.py.
sys.path.append(str(programs.FOLDER))
