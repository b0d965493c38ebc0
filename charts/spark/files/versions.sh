#!/bin/sh
# Prints in a line what of Spark and of Python the image has, such as 4.2.0 3.13.
spark=$(cd /opt/spark/jars && echo spark-core_*.jar)
spark=${spark#spark-core_*-}
python3 -c 'import sys; print(sys.argv[1], "%d.%d" % sys.version_info[:2])' "${spark%.jar}"
