"""memsvc as the memory of agent frameworks: `langgraph`, `langchain` and `llamaindex`.

Each module needs its framework (`pip install 'memsvc[langgraph]'` and so on) and says so if it is
not there; this package loads none of them.
"""
