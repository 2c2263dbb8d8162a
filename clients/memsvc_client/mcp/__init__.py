"""`memsvc mcp`: a bank of memory as tools of the Model Context Protocol.

A thin layer over the asyncio client. Only `server`, `tools` and what they import need the package
`mcp` (the extra of that name); nothing here needs the server's libraries.
"""
