"""The page of a profile: its sections, short answers, verdicts, tables and pictures; one file."""
