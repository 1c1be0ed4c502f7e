"""What `app.py` stands on: visits, editors, events, errors, files, and how the page looks."""
