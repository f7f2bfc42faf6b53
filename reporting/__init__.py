"""The report of a run as one HTML page: what a section holds is computed, drawn and written by one file each."""
