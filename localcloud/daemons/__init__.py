"""The local cloud's own processes: started, known again, and found when they are left."""
