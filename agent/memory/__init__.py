"""What a session remembers: `MEMORY.md`, tagged, dated and sourced entries that a person can read and edit."""
