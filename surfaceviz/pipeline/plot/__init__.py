"""Pictures, movies and windows of stored or given slices."""
