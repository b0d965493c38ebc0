"""What a Spark application is and how it is run, for the components and the console alike.

Plain data and functions; nothing here knows Pulumi, the components or the console.
"""
