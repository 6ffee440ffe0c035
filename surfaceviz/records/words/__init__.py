"""Records in words: rows and sentences for terminals, pictures and pages."""
