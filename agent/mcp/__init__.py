"""MCP: other people's servers of tools as plugins, and Dirigent as such a server for other programs.

A server is a stranger, whatever it says of itself. Its tools are used only as the owner has accepted them (`accepted`
keeps them, with a hash each), and as the home's files say now (`current`); their descriptions are cut and cleaned
(`cleaning`); what they do to the world is judged by where the server runs, not by its word (`labels`); what they return
is untrusted (`results`). One with a command runs in the session's sandbox and is spoken with through it (`inside`), one
with a URL is called over connections whose addresses are checked (`outside`). `connection` is one conversation,
`servers` are all of this process. `serving` is the other direction: what `dirigent mcp serve` and `/mcp` answer.

Importing this package loads nothing of the library: `plugins` is all that a start needs.
"""
