"""From what the API says to what runs."""
