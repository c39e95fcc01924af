"""Files, locks, processes, and the installed packages."""
