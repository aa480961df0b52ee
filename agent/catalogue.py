"""Tools and commands: found, validated, described compactly, and filtered by profile."""
