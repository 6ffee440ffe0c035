"""The study job: what a study's run is asked for, and the files that it writes."""
