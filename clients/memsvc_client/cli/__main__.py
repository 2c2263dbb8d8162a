"""`python -m memsvc_client.cli`."""

from memsvc_client.cli import main

if __name__ == "__main__":
    main()
