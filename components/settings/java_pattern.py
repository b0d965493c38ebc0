def problem(pattern):
    return None
