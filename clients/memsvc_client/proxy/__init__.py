"""`memsvc proxy`: memory for any OpenAI client, between it and the model that it talks to.

A thin layer over the asyncio client. Only `app` and `server` need the packages of the extra
`proxy`; nothing here needs the server's libraries.
"""
